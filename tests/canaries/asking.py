"""Clients that put credentials wherever they can, of every endpoint."""

from __future__ import annotations

import base64
from typing import Any

import httpx2 as httpx
from tests.canaries.seeds import CLIENT, CONFIG, CONTENT, MISPLACED
from tests.canaries.world import MODELS, WAIT_S, World, body

CHATS = ("/v1/chat/completions", "/v1/messages")
PROVIDERS = ("userinfo", "azure", "local", "claude", "gem", "tokened", "queried", "both")
GEMINI = "/v1beta/models/{}:generateContent"


class Asking:
    """One client with a good key, and many without."""

    def __init__(self, world: World, key: str) -> None:
        self._world = world
        self._mine = {"authorization": f"Bearer {key}"}
        self.ids: list[str] = []
        """Requests that were answered, and the response that was kept."""
        self._client = httpx.Client(base_url=world.url, timeout=WAIT_S)

    def ask(self, method: str, path: str, /, **options: Any) -> httpx.Response | None:
        """Asks, and keeps the answer with its headers. `headers` None: those of the good key."""
        headers = self._mine | options.pop("more", {}) if "headers" not in options else options.pop("headers")
        name = f"{len(self._world.answers)} {method} {path.partition('?')[0]}"
        try:
            answer = self._client.request(method, path, headers=headers, **options)
        except httpx.HTTPError as broken:
            self._world.answers[name] = repr(broken).encode()
            return None
        self._world.answers[name] = repr(dict(answer.headers)).encode() + answer.content
        self.ids.append(answer.headers.get("x-request-id", ""))
        return answer

    def look_for(self, ids: list[str], response_id: str) -> None:
        """What somebody else finds of these requests is told to nobody: it counts as written."""
        paths = [f"/v1/requests/{one}{more}" for one in ids[::20] for more in ("", "/stream")]
        paths += [f"/v1/responses/{response_id}{more}" for more in ("", "/input_items", "?stream=true")]
        for path in paths:
            answer = self.ask("GET", path)
            if answer is not None:
                self._world.said[f"{path} for another client"] = answer.content
        body = {"model": "kept", "input": "go on", "previous_response_id": response_id, "store": False}
        answer = self.ask("POST", "/v1/responses", json=body)
        assert answer is not None
        assert answer.status_code == 400
        self._world.said["what another client continues"] = answer.content

    def chat(self, model: str, path: str = CHATS[0], more: dict[str, str] | None = None, **changes: Any) -> None:
        self.ask("POST", path, json=body(model, **changes), more=more or {})

    def everything(self) -> str:
        """All that a client can do. The id of the response that was kept."""
        self.models()
        self.credentials()
        self.places()
        self.contents()
        self.malformed()
        self.others()
        return self.kept()

    def models(self) -> None:
        """Every kind of answer, whole and streamed, relayed and translated, from every provider."""
        direct = [f"{one}/{two}" for one in PROVIDERS for two in ("ok", "s400")]
        for path in CHATS:
            for model in (*MODELS, *direct, "proxied/ok", "refused", f"up/s500-{MISPLACED['direct']}"):
                self.chat(model, path)
                if model not in ("silent", "proxied/ok"):
                    self.chat(model, path, stream=True)
        for model in ("s400", "ok", "html"):
            self.ask("POST", GEMINI.format(model), json={"contents": [{"parts": [{"text": "hi"}]}]})
            self.ask("POST", "/v1/responses", json={"model": model, "input": "hi", "store": False, "stream": True})
            self.ask("POST", "/v1/embeddings", json={"model": f"up/{model}", "input": MISPLACED["prompt"]})
        self.ask("POST", "/v1/messages/count_tokens", json=body("claude/s400"))
        self.ask("POST", "/v1/moderations", json={"input": MISPLACED["prompt"]})

    def credentials(self) -> None:
        """Keys that are none of this gateway's, shown in every way, alone and beside a good one."""
        basic = base64.b64encode(f"me:{CLIENT['basic_auth']}".encode()).decode()
        ways = [
            {"authorization": f"Bearer {CLIENT['bearer']}"},
            {"authorization": f"Basic {basic}"},
            {"x-api-key": CLIENT["x_api_key"]},
            {"x-goog-api-key": CLIENT["x_goog"]},
            {"cookie": f"session={CLIENT['cookie']}"},
            {"api-key": CLIENT["api_key_header"]},
            {"proxy-authorization": f"Basic {CLIENT['proxy_auth']}"},
            {"x-amz-security-token": CLIENT["amz_token"]},
        ]
        for path in (*CHATS, GEMINI.format("ok"), "/passthrough/up/files", "/metrics", "/admin/v1/keys"):
            method = "GET" if path in ("/metrics", "/admin/v1/keys") else "POST"
            for way in ways:
                self.ask(method, path, headers=way, json=body("ok"))
                if "authorization" not in way:
                    self.ask(method, path, more=way, json=body("ok"))
            self.ask(method, f"{path}?key={CLIENT['query']}", headers={}, json=body("ok"))
            self.ask(method, f"{path}?key={CLIENT['query']}", json=body("ok"))
        upgrade = {
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "sec-websocket-protocol": f"realtime, openai-insecure-api-key.{CLIENT['subprotocol']}",
        }
        self.ask("GET", "/passthrough/up/realtime?model=ok", headers=upgrade)
        self.ask("GET", f"/passthrough/up/realtime?access_token={CLIENT['raw_query']}", more=upgrade)
        self.ask("POST", f"/passthrough/up/files?access_token={CLIENT['raw_query']}", json=body("s400"))
        self.ask("POST", "/passthrough/up/chat/completions", more={"api-key": CLIENT["raw_header"]}, json=body("s400"))

    def places(self) -> None:
        """Credentials where names, marks and paths belong."""
        marks = {
            "x-afterbay-tags": f"a={MISPLACED['tag']},{MISPLACED['tag_name']}=b,c={MISPLACED['google_key']}",
            "traceparent": f"00-{MISPLACED['trace']}",
            "x-afterbay-agent": MISPLACED["agent"],
            "idempotency-key": MISPLACED["idempotency"],
            "x-request-id": MISPLACED["request_id"],
            "last-event-id": MISPLACED["last_event"],
        }
        for path in CHATS:
            for name, value in marks.items():
                self.chat("ok", path, more={name: value})
                self.chat("s500", path, more={name: value})
            for name, value in (("task", "task"), ("residency", "residency"), ("timeout-ms", "timeout")):
                self.chat("ok", path, more={f"x-afterbay-{name}": MISPLACED[value]})
            self.chat(MISPLACED["model"], path)
        for path in (
            f"/v1/models/{MISPLACED['path']}",
            f"/{MISPLACED['path']}?x={MISPLACED['url']}",
            f"/v1/requests/{MISPLACED['request_id']}",
            f"/v1/requests/{MISPLACED['request_id']}/stream",
            f"/v1/responses/{MISPLACED['response_id']}",
            f"/passthrough/{MISPLACED['path']}/x",
            f"/passthrough/up/{MISPLACED['path']}/..?x={MISPLACED['url']}",
            f"/passthrough/up/{MISPLACED['path']}?x={MISPLACED['url']}",
        ):
            self.ask("GET", path)
        self.ask(MISPLACED["path"][-20:].upper(), "/v1/models")
        self.ask(
            "POST",
            "/v1/responses",
            json={"model": "ok", "input": "x", "previous_response_id": MISPLACED["response_id"]},
        )

    def contents(self) -> None:
        """Credentials in what is said."""
        tool = {"type": "function", "function": {"name": MISPLACED["tool"], "parameters": {}}}
        f = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "required": ["x"]}}}
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": MISPLACED["tool_arguments"]}}
        said = [
            {"role": "system", "content": MISPLACED["system"]},
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": MISPLACED["tool_result"]},
        ]
        url = {"url": f"https://me:pw@host/{MISPLACED['image_url']}?sig={MISPLACED['image_url']}"}
        seen = [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]
        text = base64.b64encode(MISPLACED["document"].encode()).decode()
        document = {"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": text}}
        for model in ("ok", "s400", "claude/s400", "gem/s400"):
            self.chat(model, tools=[tool])
            self.chat(model, messages=said, tools=[f])
            self.chat(model, messages=seen, user=MISPLACED["user"], metadata={"k": MISPLACED["metadata"]})
            self.chat(model, CHATS[1], messages=[{"role": "user", "content": [document]}])
        for model in ("tool", "stream-tool"):
            for path in CHATS:
                tools = [f] if path == CHATS[0] else [{"name": "f", "input_schema": f["function"]["parameters"]}]
                self.chat(model, path, tools=tools, stream="stream" in model)

    def malformed(self) -> None:
        """Requests that are none."""
        odd = MISPLACED["wrong_type"]
        for path in (*CHATS, "/v1/responses", "/v1/embeddings", GEMINI.format("ok"), "/admin/v1/keys"):
            for wrong in (
                f'{{"model": "{MISPLACED["cut_body"]}',
                f'{{"model": {{"{odd}": 1}}}}',
                f'{{"model": "ok", "messages": "{odd}", "input": 5, "contents": "{odd}"}}',
                f'{{"model": "ok", "{MISPLACED["param_name"]}": 1, "messages": [{{"role": "{odd}"}}]}}',
                f'{{"model": "ok", "messages": [], "max_tokens": "{odd}", "name": 5}}',
                f'{{"model": "ok", "messages": [{"[" * 2000}"{MISPLACED["deep"]}"{"]" * 2000}]}}',
            ):
                self.ask("POST", path, content=wrong.encode(), more={"content-type": "application/json"})
        bearer = f"authorization: Bearer {CLIENT['bearer']}\r\n"
        self._world.raw(f"GET / HTTP/1.1\r\n{bearer} folded\r\n\r\n".encode())
        self._world.raw(f"{CLIENT['bearer']} / {CLIENT['query']}\r\n\r\n".encode())
        self._world.raw(f"GET /{MISPLACED['path']} HTTP/9.9\r\n{bearer}\r\n".encode())
        self._world.raw(f"POST / HTTP/1.1\r\ncontent-length: {MISPLACED['wrong_type']}\r\n{bearer}\r\n".encode())

    def others(self) -> None:
        """Admins, who name things by credentials, and who is none."""
        admin = {"x-api-key": CONFIG["admin"]}
        made = {"name": MISPLACED["key_name"], "rights": {"models": [MISPLACED["model"]]}}
        self.ask("POST", "/admin/v1/teams", headers=admin, json={"name": MISPLACED["team_name"]})
        for wrong in (
            {"name": "third"},
            made,
            {"name": "x", "owner": f"team:{MISPLACED['team_name']}x"},
            {"name": ["x"]},
        ):
            answer = self.ask("POST", "/admin/v1/keys", headers=admin, json=wrong)
            if answer is not None and answer.status_code < 300:
                secret = str(answer.json()["secret"])
                self._world.shown.append(secret)
                del self._world.answers[next(reversed(self._world.answers))]  # a new key is shown to its maker, once
        for path in ("keys", "teams", "audit", f"keys/{MISPLACED['key_name']}", "keys?limit=x"):
            self.ask("GET", f"/admin/v1/{path}", headers=admin)
        self.ask("GET", "/admin/v1/keys", headers={"x-api-key": CLIENT["wrong_admin"]})
        for path in ("/metrics", "/health/ready", "/health/live", "/", "/v1/models"):
            answer = self.ask("GET", path, headers=admin)
            if answer is not None:
                self._world.said[f"page {path}"] = answer.content

    def kept(self) -> str:
        """What a client asks to be kept: a response, and the answer to a request with an idempotency key."""
        first = self.ask("POST", "/v1/responses", json={"model": "kept", "input": CONTENT["kept"]})
        assert first is not None
        response_id = str(first.json()["id"])
        self.ask("GET", f"/v1/responses/{response_id}")
        self.ask("GET", f"/v1/responses/{response_id}/input_items")
        for _ in range(2):
            self.chat("keyed", more={"idempotency-key": "one"})
        return response_id
