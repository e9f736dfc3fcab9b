"""What a coding agent has to be told so that it asks a gateway, with a key of the gateway's: variables and arguments.

Sources, all November 2026:

- Claude Code: code.claude.com/docs/en/env-vars and /llm-gateway-protocol; run as 2.1.197. Its aliases (`opus`, `haiku`,
  ...), which its sub-agents are given, stand for names that `ANTHROPIC_DEFAULT_..._MODEL` replaces.
- Codex: developers.openai.com/codex/config-reference and github.com/openai/codex, `codex-rs/model-provider-info`;
  run as 0.169. A provider of one's own is given with `-c`; `responses` is the only protocol left.
- Gemini CLI: its `docs/reference/configuration.md`; run as 0.61. With `GOOGLE_GEMINI_BASE_URL` set it takes a way to
  sign in that it then refuses itself, unless settings choose the key: so it gets settings of the system's level, whose
  folder nobody else may write to.
- Others: the variables that SDKs read. OpenAI's: `OPENAI_BASE_URL`, `OPENAI_API_KEY` (older tools: `OPENAI_API_BASE`);
  Anthropic's: `ANTHROPIC_BASE_URL`, `ANTHROPIC_API_KEY`; Google's: `GOOGLE_GEMINI_BASE_URL`, `GEMINI_API_KEY`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from afterbay.cli.speech import Misuse
from afterbay.core.secret import Secret

_NAMES: Final = ("claude", "codex", "gemini")

_TAKEN: Final = (
    "AFTERBAY_ADMIN_KEY",
    "ANTHROPIC_UNIX_SOCKET",
    "CLAUDE_CODE_API_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_SUBAGENT_MODEL",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_VERTEX",
    "GOOGLE_API_KEY",
    "GOOGLE_GENAI_USE_GCA",
    "GOOGLE_GENAI_USE_VERTEXAI",
)
"""Variables by which a program would ask somebody else, or as somebody else."""

_CLAUDE_MODELS: Final = ("ANTHROPIC_MODEL", *(f"ANTHROPIC_DEFAULT_{one}_MODEL" for one in ("FABLE", "OPUS", "SONNET")))
_CLAUDE_SMALL: Final = ("ANTHROPIC_DEFAULT_HAIKU_MODEL", "ANTHROPIC_SMALL_FAST_MODEL")

_AGAIN: Final = {"claude": "claude --continue", "codex": "codex resume --last", "gemini": "gemini --resume latest"}
"""How each goes on with its last session."""

_MISSING: Final = {
    "claude": "Install it: npm install -g @anthropic-ai/claude-code.",
    "codex": "Install it: npm install -g @openai/codex.",
    "gemini": "Install it: npm install -g @google/gemini-cli.",
}


class Place(msgspec.Struct, frozen=True):
    """Where a program finds its gateway. `model`: what it shall ask for, `small` the same for small work; None: what it
    asks for by itself. `folder`: one that only this user can write to; it need not be there."""

    url: str
    secret: Secret
    model: str | None
    small: str | None
    folder: Path


class Start(msgspec.Struct, frozen=True):
    """How a program is started. `files` are written before."""

    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    files: Mapping[Path, bytes] = {}


def agent_name(command: str) -> str:
    """`claude`, `codex` or `gemini`, by the name of the program; any other name: nobody special."""
    return Path(command).name.lower().removesuffix(".exe").removesuffix(".cmd")


def how_to_go_on(command: str) -> str:
    """The command that goes on with what was begun."""
    return _AGAIN.get(agent_name(command), command)


def how_to_get(command: str) -> str:
    """What to do where there is no such program."""
    return _MISSING.get(agent_name(command), "Check its name, or give the path to it.")


def start_of(
    command: tuple[str, ...], environ: Mapping[str, str], place: Place, keys: Iterable[str], settings: bytes | None
) -> Start:
    """How to start a program.

    Args:
        command: the program and its arguments.
        environ: the variables of whoever starts it.
        keys: variables that hold keys of providers: the program gets none of them.
        settings: those of the system for Gemini CLI; None: there are none.

    Raises:
        Misuse: these settings cannot be read.
    """
    agent = agent_name(command[0])
    found = {name: text for name, text in environ.items() if name not in _TAKEN and name not in set(keys)}
    found |= _addresses(place, environ) | _models(agent, place)
    arguments, files = command, dict[Path, bytes]()
    if agent == "claude":
        found.pop("ANTHROPIC_API_KEY", None)  # with both it warns that they differ in kind
    elif agent == "codex":
        arguments = (command[0], *_codex(place), *command[1:])
    elif agent == "gemini":
        path = place.folder / "gemini.json"
        found["GEMINI_CLI_SYSTEM_SETTINGS_PATH"] = str(path)
        files[path] = _gemini(settings)
    return Start(arguments, found, files)


def _addresses(place: Place, environ: Mapping[str, str]) -> dict[str, str]:
    secret, openai = place.secret.reveal(), f"{place.url}/v1"
    found = {
        "AFTERBAY_URL": place.url,
        "AFTERBAY_KEY": secret,
        "ANTHROPIC_BASE_URL": place.url,
        "ANTHROPIC_API_KEY": secret,
        "ANTHROPIC_AUTH_TOKEN": secret,
        "OPENAI_BASE_URL": openai,
        "OPENAI_API_BASE": openai,
        "OPENAI_API_KEY": secret,
        "GOOGLE_GEMINI_BASE_URL": place.url,
        "GEMINI_API_KEY": secret,
    }
    for name in ("NO_PROXY", "no_proxy"):  # a proxy of the network knows no loopback of ours
        found[name] = ",".join(dict.fromkeys([*filter(None, [environ.get(name)]), "127.0.0.1", "localhost"]))
    return found


def _models(agent: str, place: Place) -> dict[str, str]:
    """The variables of models. The names of other programs' are not known."""
    model, small = place.model, place.small or place.model
    if model is None or small is None:
        return {}
    if agent == "claude":
        return dict.fromkeys(_CLAUDE_MODELS, model) | dict.fromkeys(_CLAUDE_SMALL, small)
    return {"GEMINI_MODEL": model} if agent == "gemini" else {"OPENAI_MODEL": model, "ANTHROPIC_MODEL": model}


def _codex(place: Place) -> list[str]:
    """Its options, as TOML. Those that the user gives follow them, and win."""
    settings = {
        "model_provider": "afterbay",
        "model_providers.afterbay.name": "afterbay",
        "model_providers.afterbay.base_url": f"{place.url}/v1",
        "model_providers.afterbay.env_key": "AFTERBAY_KEY",
        "model_providers.afterbay.wire_api": "responses",
        "web_search": "disabled",
    }
    if place.model is not None:
        settings["model"] = place.model
    return [part for name, value in settings.items() for part in ("-c", f"{name}={_toml(value)}")]


def _toml(text: str) -> str:
    """A string of TOML. What JSON escapes is escaped so in TOML too."""
    return msgspec.json.encode(text).decode()


def _gemini(settings: bytes | None) -> bytes:
    """The system's settings with the way to sign in."""
    try:
        found = msgspec.json.decode(settings or b"{}", type=dict[str, object])
        security = msgspec.convert(found.get("security", {}), dict[str, object])
        auth = msgspec.convert(security.get("auth", {}), dict[str, object])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        raise Misuse(
            "The system's settings of Gemini CLI are not plain JSON, and cannot be added to.",
            remedy="Take the comments out, or unset GEMINI_CLI_SYSTEM_SETTINGS_PATH.",
        ) from None
    auth |= {"selectedType": "gemini-api-key"}
    return msgspec.json.encode({**found, "security": {**security, "auth": auth}})
