"""A configuration of three providers, as an operator would write it, and drills of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from afterbay.drill.reach import Reach, reach_of
from afterbay.drill.report import Asked
from afterbay.drill.scenes import scene
from afterbay.drill.stage import Staged, load_for_drill

CONFIG = """\
providers:
  one:   {kind: openai, api_keys: ["${ONE_KEY}", "${ONE_OTHER_KEY}"], region: us, price: {input: 2, output: 8}}
  two:   {kind: anthropic, api_key: "${TWO_KEY}", region: eu, price: {input: 3, output: 9}, headers: {x-team: t}}
  mine:  {kind: openai, base_url: "http://10.0.0.5:8000/v1", region: eu, price: {input: 1, output: 1}}
  aside: {kind: gemini, api_key: "${ASIDE_KEY}", price: {input: 1, output: 1}}
models:
  a: {provider: one, name: m-1, fallback: [b, c]}
  b: {provider: two, name: m-2}
  c: {provider: mine, name: m-3}
  d: {provider: aside, name: m-4}
  alone: {provider: one, name: m-5}
routes:
  auto: {fallback: [a, b, c], complexity: {low: a}}
telemetry: {otlp: "http://collector.example:4318"}
state: {database: "sqlite:////srv/afterbay.db"}
"""


def staged(folder: Path, text: str = CONFIG, environ: Mapping[str, str] = {}) -> Staged:
    path = folder / "afterbay.yaml"
    path.write_text(text)
    return load_for_drill(path, environ)


def reach(folder: Path, model: str = "auto", text: str = CONFIG) -> Reach:
    return reach_of(staged(folder, text).loaded.snapshot, model)


def asked(found: Reach, name: str, *, requests: int = 3000, provider: str | None = None, seed: int = 1) -> Asked:
    return Asked(scene(name, found, provider, requests / 5.0), found, seed, requests, 5.0)
