"""A provider's export against the log: what is printed, and with which exit code."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from afterbay.cli.invoice import run_invoice
from afterbay.cli.speech import Misuse, Speech
from afterbay.core.decision import Attempt
from afterbay.core.usage import Usage
from afterbay.store.database import open_database
from afterbay.store.request_log import SqliteRequestLog
from afterbay.testing.stores import a_record

from .conftest import Run

HEADER = "day,model,usd\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose log has one attempt that cost a dollar."""
    path = tmp_path / "afterbay.yaml"
    path.write_text(
        "providers: {openai: {kind: openai, api_key: sk-x}}\n"
        f"state: {{database: 'sqlite:///{tmp_path}/state.db'}}\n",
        encoding="utf-8",
    )
    log = SqliteRequestLog(open_database(f"sqlite:///{tmp_path}/state.db"), retention_s=1e10)
    log.start()
    attempt = Attempt(0, "openai/gpt-5", "primary", 0.0, outcome="ok", usage=Usage(10), cost_picousd=10**12)
    log.put(a_record(1, received_at=1_798_761_600.0, attempts=[attempt]))
    log.close()
    return path


def the_run(config: Path, text: str, *, as_json: bool = False, provider: str = "openai") -> tuple[int, str]:
    file, said = config.parent / "export.csv", io.StringIO()
    file.write_text(text, encoding="utf-8")
    return run_invoice(file, provider, config, as_json, Speech(said)), said.getvalue()


def test_an_invoice_that_agrees_ends_with_0(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = the_run(config, HEADER + "2027-01-01,GPT 5,1.00\n")
    assert code == 0
    assert said == "afterbay: openai, 2027-01-01 to 2027-01-01: invoice $1.00, log $1.00; all lines agree\n"
    assert "agrees" in capsys.readouterr().out


def test_one_that_does_not_ends_with_1_and_says_why(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = the_run(config, HEADER + "2027-01-01,gpt-5,2.00\n2027-01-01,o3,1.00\n")
    assert code == 1
    assert "2 of 2 lines differ" in said
    assert "not in the log" in " ".join(capsys.readouterr().out.split())


def test_programs_get_one_object(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = the_run(config, HEADER + "2027-01-01,gpt-5,2.00\n", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert code == 1
    assert (found["agrees"], found["invoice_picousd"], found["log_picousd"]) == (False, 2 * 10**12, 10**12)
    assert found["lines"][0]["reasons"]


@pytest.mark.parametrize(
    ("text", "provider", "says"),
    [
        (HEADER, "openai", "no row with an amount"),
        ("a,b\n", "openai", "No known export"),
        (HEADER + "2027-01-01,gpt-5,2.00\n", "nobody", "No provider nobody is configured. There are: openai"),
    ],
)
def test_what_cannot_be_compared_is_a_misuse_that_says_what_to_do(
    config: Path, text: str, provider: str, says: str
) -> None:
    with pytest.raises(Misuse, match=says):
        the_run(config, text, provider=provider)


def test_a_file_that_is_not_there_or_not_text_is_told(config: Path) -> None:
    with pytest.raises(Misuse, match="cannot be read"):
        run_invoice(config.parent / "none.csv", "openai", config, False, Speech(io.StringIO()))
    (config.parent / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misuse, match=r"bytes\.csv"):
        run_invoice(config.parent / "bytes.csv", "openai", config, False, Speech(io.StringIO()))


def test_the_command_ends_with_the_same_codes(config: Path, run: Run) -> None:
    export = config.parent / "export.csv"
    export.write_text(HEADER + "2027-01-01,gpt-5,2.00\n", encoding="utf-8")
    asked = ("report", "invoice", str(export), "--provider", "openai", "-c", str(config))
    done = run(*asked)
    assert (done.returncode, "1 of 1 lines differ" in done.stderr) == (1, True)
    export.write_text(HEADER + "2027-01-01,gpt-5,1.00\n", encoding="utf-8")
    done = run(*asked)
    assert (done.returncode, "all lines agree" in done.stderr) == (0, True)
