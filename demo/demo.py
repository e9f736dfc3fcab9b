"""What `make demo` shows: real answers from local models, two emulated providers, one of them breaking, and the log.

Everything runs on this machine. The clients are the unmodified SDKs of OpenAI and Anthropic.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anthropic
import openai
from rich.console import Console
from rich.table import Table

from afterbay.core.decision import Attempt, Record
from afterbay.core.usage import microusd
from afterbay.emulate.profile import Profile, ProfileFile, read_profile
from afterbay.emulate.run import EmulatorProcess
from afterbay.store.database import open_database
from afterbay.store.reading import SqliteReading

HERE = Path(__file__).parent
KEY = "demo-key"
START_S = 170.0
PORT = 8400

out = Console(highlight=False, width=None if sys.stdout.isatty() else 140)


class Gateway:
    """`afterbay serve` in a process of its own."""

    def __init__(self, upstream: str, state: Path) -> None:
        self.port = PORT if is_free(PORT) else 0 or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environ = {**os.environ, "DEMO_UPSTREAM": upstream, "DEMO_KEY": "sk-emulated", "DEMO_STATE": str(state)}
        command = [
            sys.executable,
            "-m",
            "afterbay",
            "serve",
            "-c",
            str(HERE / "afterbay.yaml"),
            "--port",
            str(self.port),
        ]
        self.log = state / "gateway.log"
        # On a terminal the gateway draws its own progress bars; else its lines go to a file that is shown on failure.
        self.process = subprocess.Popen(command, env=environ, start_new_session=True)

    def wait(self, models: tuple[str, ...]) -> None:
        """Until all local models answer."""
        end = time.monotonic() + START_S
        waiting = list(models)
        while waiting:
            if self.process.poll() is not None:
                raise SystemExit("demo: the gateway ended while starting; its last lines above say why")
            if time.monotonic() > end:
                raise SystemExit(
                    f"demo: {', '.join(waiting)} not ready after {START_S:.0f} s; is the registry reachable?"
                )
            if answers(self.url, waiting[0]):
                waiting.pop(0)
            else:
                time.sleep(0.2)

    def stop(self) -> None:
        """Ends it, and its workers with it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_port() -> int:
    """A port that nobody uses now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return int(probe.getsockname()[1])


def answers(url: str, model: str) -> bool:
    """Whether a model gives an answer, of one token."""
    path, body = (
        "/v1/chat/completions",
        {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1},
    )
    if "embed" in model:
        path, body = "/v1/embeddings", {"model": model, "input": "Hi"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        told = error.read().decode("utf-8", "replace")
        if "local model is failed" in told:
            raise SystemExit(f"demo: {model} does not start: {told[:600]}") from None
        return False
    except OSError:
        return False


def say(title: str, text: str) -> None:
    """One question and what came of it."""
    out.print(f"  [bold]{title}[/bold]\n    {' '.join(text.split())[:300]}")


def ask_openai(url: str) -> None:
    """OpenAI's SDK: the router, streaming, tools, structured output, embeddings."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=60)

    def chat(model: str, prompt: str, **more: object) -> str:
        answer = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": prompt}],
            temperature=0,
            **more,  # type: ignore[call-overload]
        )
        message = answer.choices[0].message
        return message.content or json.dumps([call.function.model_dump() for call in message.tool_calls])

    say("auto: a question", chat("auto", "What is the capital of France?", max_tokens=40))
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "city": {"type": "string"}},
        "required": ["name", "city"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    text = "Extract name and city: My name is Ada and I live in London."
    say("auto: extraction into a JSON Schema", chat("auto", text, response_format=form, max_tokens=60))
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}  # fmt: skip
    wanted = {"tools": [tool], "tool_choice": "required", "max_tokens": 60}
    say("local: a tool call", chat("local", "How is the weather in Paris?", **wanted))
    stream = client.chat.completions.create(
        model="gpt", messages=[{"role": "user", "content": "Tell me what a gateway does."}], stream=True
    )
    say("gpt (emulated), streamed", "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
    vectors = client.embeddings.create(model="local-embed", input=["reset my password", "change a forgotten password"])
    a, b = (one.embedding for one in vectors.data)
    say("local-embed: two embeddings", f"cosine {sum(x * y for x, y in zip(a, b, strict=True)):.2f}")


def ask_anthropic(url: str) -> None:
    """Anthropic's SDK: the emulated Claude, and a local model behind the Messages protocol, streamed."""
    client = anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0, timeout=60)
    for model, prompt in (("claude", "Say something about rivers."), ("local", "Write a Python function that adds.")):
        with client.messages.stream(
            model=model, max_tokens=60, messages=[{"role": "user", "content": prompt}]
        ) as stream:
            say(f"{model}, by Anthropic's SDK, streamed", "".join(stream.text_stream))


def break_provider(upstream: str, url: str) -> None:
    """Takes OpenAI's emulation down and asks it again: the answers keep coming."""
    control(upstream, {"provider": "openai", "profile": "down"})
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=60)
    for number in range(1, 4):
        raw = client.chat.completions.with_raw_response.create(
            model="gpt", messages=[{"role": "user", "content": f"Are you still there? ({number})"}]
        )
        came_from = f"{raw.headers['x-afterbay-provider']} after {raw.headers['x-afterbay-attempts']} attempts"
        say(f"gpt, while its provider is down: answered by {came_from}", raw.parse().choices[0].message.content or "")
    control(upstream, {"provider": "openai", "profile": "instant"})


def control(upstream: str, body: dict[str, str]) -> None:
    """Changes how an emulated provider behaves."""
    request = urllib.request.Request(
        f"{upstream}/emulate/profile", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()


def show_log(state: Path, began_at: float) -> None:
    """The table of requests, out of the log."""
    time.sleep(0.5)  # the log is written in batches
    records = [one.record for one in SqliteReading(open_database(f"sqlite:///{state}/afterbay.db")).last(50)]
    headings = ("asked for", "answered by", "route: reason", "attempts", "TTFT ms", "tokens", "cost USD", "status")
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for record in sorted(records, key=lambda one: one.received_at):
        if record.received_at >= began_at:
            table.add_row(*row(record))
    out.print(table)


def row(record: Record) -> tuple[str, ...]:
    """One request."""
    usage = record.usage
    cost = "unknown" if record.cost_picousd is None else f"{microusd(record.cost_picousd) / 1e6:f}"
    return (
        record.requested_model,
        f"{record.provider}/{record.upstream_model}",
        f"{record.route}: {record.rule}",
        " → ".join(tried(one) for one in record.attempts),
        f"{record.ttft_s * 1000:.0f}" if record.ttft_s is not None else "-",
        f"{usage.total_input}/{usage.total_output}{'≈' if usage.estimated else ''}" if usage else "-",
        cost,
        f"{record.status} {record.outcome}",
    )


def tried(attempt: Attempt) -> str:
    """One attempt in a word or two."""
    provider = attempt.target.split("/")[0]
    return provider if attempt.outcome == "ok" else f"{provider} ({attempt.outcome})"


def step(title: str, work: Callable[[], None]) -> None:
    """One part of the demonstration."""
    out.print(f"\n[bold cyan]{title}[/bold cyan]")
    work()


def main() -> None:
    """The demonstration. Its steps run in the main thread, where Ctrl-C ends a wait at once."""
    pace = Profile(name="demo", ttft=read_profile("healthy").ttft)
    with tempfile.TemporaryDirectory(prefix="afterbay-demo-") as folder, asyncio.Runner() as runner:
        emulator = EmulatorProcess(ProfileFile(pace))
        runner.run(emulator.__aenter__())
        try:
            show(emulator.url, Path(folder))
        finally:
            runner.run(emulator.stop())


def show(upstream: str, state: Path) -> None:
    """All steps, in order."""
    out.print("[bold cyan]1  Start: the gateway, its local models, two emulated providers[/bold cyan]")
    gateway = Gateway(upstream, state)
    try:
        gateway.wait(("local-small", "local-embed", "local"))
        began_at = time.time()
        step("2  OpenAI's SDK", lambda: ask_openai(gateway.url))
        step("3  Anthropic's SDK", lambda: ask_anthropic(gateway.url))
        step("4  One provider breaks; the answers keep coming", lambda: break_provider(upstream, gateway.url))
        step("5  The request log", lambda: show_log(state, began_at))
        out.print(
            f"\nTry it by hand: OpenAI's base URL is {gateway.url}/v1, Anthropic's is {gateway.url}; any key will do."
        )
        out.print(f"  curl {gateway.url}/v1/chat/completions -d '{{\"model\": \"auto\", \"messages\": "
                  '[{"role": "user", "content": "Hello!"}]}\'', soft_wrap=True)  # fmt: skip
        if sys.stdin.isatty() and sys.stdout.isatty():
            out.print("It runs until you press Ctrl-C.")
            gateway.process.wait()
    finally:
        gateway.stop()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        out.print("\ndemo: stopped")
