"""What each coding agent is given."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from afterbay.cli.coding_agents import Place, Start, agent_name, how_to_get, how_to_go_on, start_of
from afterbay.cli.speech import Misuse
from afterbay.core.secret import Secret

PLACE = Place("http://127.0.0.1:1", Secret("ab-x"), "auto", "small", Path("/home/me/run"))
MINE = {"PATH": "/bin", "ANTHROPIC_API_KEY": "sk-1", "GROQ_API_KEY": "gsk", "CLAUDE_CODE_USE_VERTEX": "1", "A": "b"}


def start(*command: str, place: Place = PLACE, settings: bytes | None = None, **more: str) -> Start:
    return start_of(command, MINE | more, place, {"GROQ_API_KEY", "ANTHROPIC_API_KEY"}, settings)


@pytest.mark.parametrize(
    ("command", "name"), [("claude", "claude"), ("/usr/bin/codex", "codex"), ("Gemini.cmd", "gemini"), ("./x", "x")]
)
def test_an_agent_is_known_by_its_programs_name(command: str, name: str) -> None:
    assert agent_name(command) == name


@pytest.mark.parametrize("command", ["claude", "codex", "gemini", "other"])
def test_whatever_runs_gets_the_gateway_and_nobody_elses_key(command: str) -> None:
    environ = start(command).environ
    assert environ["PATH"] == "/bin"
    assert environ["A"] == "b"
    assert "CLAUDE_CODE_USE_VERTEX" not in environ
    assert not {"sk-1", "gsk"} & set(environ.values())
    assert environ["OPENAI_BASE_URL"] == "http://127.0.0.1:1/v1"
    assert environ["ANTHROPIC_BASE_URL"] == environ["GOOGLE_GEMINI_BASE_URL"] == "http://127.0.0.1:1"


def test_every_name_by_which_claude_code_asks_is_replaced() -> None:
    environ = start("claude", "-p", "x", CLAUDE_CODE_SUBAGENT_MODEL="opus").environ
    assert {name: text for name, text in environ.items() if name.endswith("_MODEL")} == {
        "ANTHROPIC_MODEL": "auto",
        "ANTHROPIC_DEFAULT_FABLE_MODEL": "auto",
        "ANTHROPIC_DEFAULT_OPUS_MODEL": "auto",
        "ANTHROPIC_DEFAULT_SONNET_MODEL": "auto",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "small",
        "ANTHROPIC_SMALL_FAST_MODEL": "small",
    }
    assert environ["ANTHROPIC_AUTH_TOKEN"] == "ab-x"
    assert "ANTHROPIC_API_KEY" not in environ


def test_a_program_may_ask_by_its_own_names() -> None:
    own = msgspec.structs.replace(PLACE, model=None, small=None)
    assert not [name for name in start("claude", place=own).environ if name.endswith("_MODEL")]
    assert not [one for one in start("codex", place=own).arguments if one.startswith("model=")]


def test_codex_gets_its_provider_as_toml_before_its_arguments() -> None:
    odd = msgspec.structs.replace(PLACE, model='a"b\\ü\n')
    arguments = start("/bin/codex", "exec", "-c", "model=1", place=odd).arguments
    assert (arguments[0], arguments[-3:]) == ("/bin/codex", ("exec", "-c", "model=1"))
    options = arguments[1:-3]
    assert set(options[::2]) == {"-c"}
    found: dict[str, Any] = tomllib.loads("\n".join(options[1::2]))
    assert found == {
        "model": 'a"b\\ü\n',
        "model_provider": "afterbay",
        "web_search": "disabled",
        "model_providers": {
            "afterbay": {
                "name": "afterbay",
                "base_url": "http://127.0.0.1:1/v1",
                "env_key": "AFTERBAY_KEY",
                "wire_api": "responses",
            }
        },
    }
    assert not [one for one in arguments if "ab-x" in one], "arguments can be seen by everybody"


def test_gemini_cli_keeps_the_systems_settings() -> None:
    settings = b'{"security": {"auth": {"enforcedType": "x"}, "folderTrust": {"enabled": true}}, "ui": {"theme": "a"}}'
    made = start("gemini", settings=settings)
    path = Path("/home/me/run/gemini.json")
    assert made.environ["GEMINI_CLI_SYSTEM_SETTINGS_PATH"] == str(path)
    assert msgspec.json.decode(made.files[path]) == {
        "security": {
            "auth": {"enforcedType": "x", "selectedType": "gemini-api-key"},
            "folderTrust": {"enabled": True},
        },
        "ui": {"theme": "a"},
    }


@pytest.mark.parametrize(
    "settings", [b"// none\n{}", b"[]", b'{"security": 1}', b'{"security": {"auth": []}}', b"\xff"]
)
def test_settings_that_cannot_be_added_to_are_an_error(settings: bytes) -> None:
    with pytest.raises(Misuse, match="plain JSON"):
        start("gemini", settings=settings)


def test_loopback_is_no_business_of_a_proxy() -> None:
    environ = start("x", NO_PROXY="a.example", no_proxy="").environ
    assert (environ["NO_PROXY"], environ["no_proxy"]) == ("a.example,127.0.0.1,localhost", "127.0.0.1,localhost")


def test_everybody_is_told_how_to_go_on_and_where_to_get_what_is_missing() -> None:
    assert how_to_go_on("/x/codex") == "codex resume --last"
    assert how_to_go_on("make") == "make"
    assert "npm install -g @google/gemini-cli" in how_to_get("gemini")
    assert how_to_get("make") == "Check its name, or give the path to it."
