"""A configuration that may leave the machine: no secret in it, and still the same to route by."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.config.load import parse
from afterbay.config.portable import from_json, portable, to_json
from afterbay.config.resolve import resolve
from afterbay.config.snapshot import Snapshot

NAMES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GROQ_KEY_A", "GROQ_KEY_B")
KEYS = {name: f"value-of-{name}" for name in NAMES}
secrets = st.text("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=12, max_size=30)


def of_text(text: str, keys: dict[str, str] | None = None) -> Snapshot:
    environ = KEYS if keys is None else keys
    return resolve(parse(text, "a.yaml", environ), environ, lambda queries: {})


def test_what_is_written_is_read_again_as_it_was(example: str) -> None:
    snapshot = of_text(example)
    again = from_json(to_json(snapshot))
    assert again == portable(snapshot)
    assert to_json(again) == to_json(snapshot)
    assert again.hash == snapshot.hash, "the name of the configuration that served, not of this form of it"
    assert again.routes == snapshot.routes
    assert again.aliases == snapshot.aliases


def test_the_number_of_keys_stays_since_retries_depend_on_it(example: str) -> None:
    again = from_json(to_json(of_text(example)))
    assert len(again.providers["groq"].keys) == 2
    assert {key.reveal() for key in again.providers["groq"].keys} == {"***"}


@settings(max_examples=50, deadline=None)
@given(st.lists(secrets, min_size=9, max_size=9, unique=True))
def test_no_secret_is_in_it_wherever_the_configuration_has_it(values: list[str]) -> None:
    key, first, second, header, proxy, user, query, database, trace = values
    text = f"""\
providers:
  one: {{kind: openai, api_key: "${{KEY}}", base_url: "https://{user}:{query}@host/v1?key={query}"}}
  two: {{kind: openai, api_keys: ["{first}", "${{SECOND}}"], headers: {{x-token: "{header}"}}, proxy: "http://u:{proxy}@p:1"}}
models:
  m: {{deployments: [{{provider: one, name: n}}, {{provider: two, name: n}}]}}
state: {{database: "postgresql://u:{database}@db/x", shared: "redis://:{database}@r"}}
telemetry: {{otlp: "https://u:{trace}@collector"}}
"""
    written = to_json(of_text(text, {"KEY": key, "SECOND": second})).decode()
    assert [one for one in values if one in written] == []
    assert "https://host/v1" in written


@pytest.mark.parametrize("text", [b"", b"{}", b'{"hash": 1}', b"[1"])
def test_what_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        from_json(text)
