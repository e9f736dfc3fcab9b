"""Programs that ask a gateway as coding agents do, with what `afterbay run` gives them and nothing else.

Each is a file of Python that a test puts into a folder of PATH, under the name of the agent that it plays. What they
send is what the real ones sent to a gateway in November 2026 (Claude Code 2.1.197, Codex 0.169, Gemini CLI 0.61).
"""

from __future__ import annotations

import sys
from pathlib import Path

_HEAD = f"""#!{sys.executable}
import json, os, signal, sys, threading, time, urllib.error, urllib.request

def post(url, body, headers):
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {{"content-type": "application/json", **headers}})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()

def together(*calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""

CLAUDE = """
def ask(model, text, agent=None, most=50):
    headers = {
        "authorization": "Bearer " + os.environ["ANTHROPIC_AUTH_TOKEN"],
        "anthropic-version": "2023-06-01",
        "user-agent": "claude-cli/2.1.197 (external, cli)",
        "x-app": "cli",
        "x-claude-code-session-id": "0fdb18f0-629e-415f-8cd1-2aaf6e2d87fc",
    }
    if agent: headers["x-claude-code-agent-id"] = agent
    body = {"model": model, "max_tokens": most, "stream": True, "messages": [{"role": "user", "content": text}]}
    return post(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages?beta=true", body, headers)
"""

CODEX = """
def settings(arguments):
    found = {}
    while arguments[:1] == ["-c"]:
        name, _, value = arguments[1].partition("=")
        found[name] = json.loads(value)
        arguments = arguments[2:]
    return found, arguments

def ask(found, text, parent=None):
    provider = "model_providers." + found["model_provider"]
    assert found[provider + ".wire_api"] == "responses"
    thread = "01a212e9-1730-7341-b3b2-b497f54502f6" if parent else "01a212e9-16e4-7f93-8e6c-e45b225c33f9"
    headers = {
        "authorization": "Bearer " + os.environ[found[provider + ".env_key"]],
        "originator": "codex_exec",
        "session-id": "01a212e9-16e4-7f93-8e6c-e45b225c33f9",
        "thread-id": thread,
    }
    if parent: headers |= {"x-codex-parent-thread-id": parent, "x-openai-subagent": "collab_spawn"}
    body = {"model": found["model"], "stream": True, "input": [{"role": "user", "content": text}]}
    return post(found[provider + ".base_url"] + "/responses", body, headers)
"""

GEMINI = """
def ask(text):
    settings = json.load(open(os.environ["GEMINI_CLI_SYSTEM_SETTINGS_PATH"]))
    assert settings["security"]["auth"]["selectedType"] == "gemini-api-key"
    place = os.environ["GOOGLE_GEMINI_BASE_URL"] + "/v1beta/models/" + os.environ["GEMINI_MODEL"]
    body = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    headers = {"x-goog-api-key": os.environ["GEMINI_API_KEY"]}
    return post(place + ":streamGenerateContent?alt=sse", body, headers)
"""


def put(folder: Path, name: str, *parts: str) -> dict[str, str]:
    """Writes a program; the variables with which it is found."""
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    path = place / name
    path.write_text(_HEAD + "\n".join(parts))
    path.chmod(0o755)
    return {"PATH": f"{place}:/usr/bin:/bin"}
