"""What keys do on the data plane, and what the judge makes of every attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rights.book import DIRECT, Key, reach_of
from rights.office import AGENTS, Fault, Office
from rights.world import ADMIN_KEY, DEPLOYED, FACTS, ROUTES, Answered

MODELS = (*(name for name in DEPLOYED if name != "vectors"), *ROUTES, *DIRECT)
_PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/responses")
_MINE = "belongs to "


class Asking:
    """Requests: chats in three protocols, vectors, raw ones, lists of models, records and kept answers of one's own."""

    def __init__(self, office: Office) -> None:
        self._office, self._book, self._chance = office, office.book, office.chance
        self._last = ""
        """The secret that asked last: some ask often, and reach their limits."""
        self._records: list[tuple[str, str]] = []
        """Requests that were answered: their ids, and whose."""
        self._kept: list[tuple[str, str]] = []
        """Responses that are kept: the same."""
        self.choices: list[tuple[Callable[[], Any], int]] = [
            (self.chat, 40),
            (self.vectors, 4),
            (self.raw, 5),
            (self.models, 4),
            (self.record, 5),
            (self.kept, 5),
        ]

    async def chat(self) -> None:
        """A conversation, which may go on with somebody's kept response."""
        path, asked, secret = self._chance.choice(_PATHS), self._chance.choice(MODELS), self._secret()
        key = self._book.by_secret.get(secret)
        mark = f"op-{self._office.number}- {_MINE}{key.id if key is not None else 'nobody'}."
        if path == "/v1/responses":
            body: dict[str, Any] = {"model": asked, "input": mark, "max_output_tokens": 50}
            if self._kept and self._chance.random() < 0.4:
                body["previous_response_id"] = self._chance.choice(self._kept)[0]
        else:
            body = {"model": asked, "max_tokens": 50, "messages": [{"role": "user", "content": mark}]}
            body["stream"] = self._chance.random() < 0.3
        got = await self._request("chat", path, body, secret, asked)
        if got.status == 200 and key is not None:
            self._records.append((got.headers["x-request-id"], key.id))
            if path == "/v1/responses":
                self._kept.append((got.json["id"], key.id))

    async def vectors(self) -> None:
        asked = self._chance.choice(("vectors", "vectors", "pb/vectors", "m1"))
        body = {"model": asked, "input": f"op-{self._office.number}- vector"}
        await self._request("vectors", "/v1/embeddings", body, self._secret(), asked)

    async def raw(self) -> None:
        """A raw request; what it may do hangs on the whole provider."""
        provider, secret = self._chance.choice(tuple(FACTS)), self._secret()
        path = f"/passthrough/{provider}/v1/files?mark=op-{self._office.number}-"
        await self._request("raw", path, None, secret, "", provider)

    async def models(self) -> None:
        """The list of models is what may be asked for, no more and no less."""
        secret, peer = self._secret(), self._office.peer()
        got = await self._office.ask("models", "GET", "/v1/models", None, secret, peer)
        key = self._admitted(got, secret, peer)
        if key is not None and {one["id"] for one in got.json["data"]} != self._book.models(key):
            raise Fault(f"{key.id} is shown models that are not its own, or not all of them")

    async def record(self) -> None:
        """A record is shown to the key whose request it was, and to nobody else."""
        if not self._records:
            return
        request_id, owner = self._chance.choice(self._records[-20:])
        secret, peer = self._secret_of(owner), self._office.peer()
        got = await self._office.ask("record", "GET", f"/v1/requests/{request_id}", None, secret, peer)
        self._check_own("record", got, self._admitted(got, secret, peer), owner)

    async def kept(self) -> None:
        """So is a kept response, and nobody else can delete it."""
        if not self._kept:
            return
        chosen = self._chance.choice(self._kept[-20:])
        secret, peer = self._secret_of(chosen[1]), self._office.peer()
        method = "DELETE" if self._chance.random() < 0.1 else "GET"
        got = await self._office.ask("kept", method, f"/v1/responses/{chosen[0]}", None, secret, peer)
        self._check_own("response", got, self._admitted(got, secret, peer), chosen[1])
        if got.status == 200 and method == "DELETE":
            self._kept.remove(chosen)

    def _secret(self) -> str:
        """One that asks: mostly of a live key, now and then of any, or the operator's, which is none here."""
        draw = self._chance.random()
        if draw < 0.05:
            return self._office.someone()
        if draw < 0.35 and self._last in self._book.by_secret:
            return self._last
        alive = [one for one, key in self._book.by_secret.items() if not key.is_over and key.secrets[one] is None]
        self._last = self._chance.choice(alive or list(self._book.by_secret))
        return self._last

    def _secret_of(self, owner: str) -> str:
        """Every other time one of the key whose it is."""
        own = list(self._book.keys[owner].secrets)
        return self._chance.choice(own) if self._chance.random() < 0.5 else self._secret()

    async def _request(
        self, what: str, path: str, body: Any, secret: str, asked: str, provider: str | None = None
    ) -> Answered:
        peer = self._office.peer()
        agent = self._chance.choice(AGENTS) if self._chance.random() < 0.3 else None
        residency = self._chance.choice(("eu", "us")) if self._chance.random() < 0.15 else None
        headers = {"x-afterbay-agent": agent} if agent is not None else {}
        headers |= {"x-afterbay-residency": residency} if residency is not None else {}
        method = "GET" if body is None else "POST"
        got = await self._office.ask(what, method, path, body, secret, peer, headers)
        key = self._admitted(got, secret, peer)
        if key is None:
            return got
        if provider is not None:
            self._check_raw(got, key, agent, residency, provider)
        else:
            self._check_attempts(got, key, agent, residency, asked, is_chat=what == "chat")
        self._check_limits(got, key)
        return got

    # The judge

    def _admitted(self, got: Answered, secret: str, peer: str | None) -> Key | None:
        """Whose request it was; None: nobody's, and it was refused as it must be."""
        is_good = secret != ADMIN_KEY and self._book.is_good(secret, peer, self._office.now)
        is_refused = got.status == 401 or got.code == "address_not_allowed"
        if is_good == is_refused:
            raise Fault(f"a secret is {'refused' if is_refused else 'let in'} that is {'good' if is_good else 'not'}")
        if not is_good and got.attempts:
            raise Fault("who was refused had somebody asked")
        return self._book.by_secret[secret] if is_good else None

    def _check_attempts(
        self, got: Answered, key: Key, agent: str | None, residency: str | None, asked: str, *, is_chat: bool
    ) -> None:
        """Every attempt is one that rights, preferences, sets and the route allow; a refusal for them is right."""
        sought = (self._book.bound(key, agent) or asked) if is_chat else asked
        for one in got.attempts:
            if one.op != self._office.number:
                raise Fault(f"an attempt of operation {one.op}")
            if not self._book.may_attempt(key, agent, sought, one.target, residency):
                raise Fault(f"{key.id} asked for {asked} and {one.target} was tried, which it may not use")
            owner = _MINE.encode()
            others = [mark[:20] for mark in one.body.split(owner)[1:] if not mark.startswith(key.id.encode())]
            if others:
                raise Fault(f"a request of {key.id} holds words of {others}")
        if got.code == "policy_no_candidate":
            fit = [target for target in reach_of(sought) if target.endswith("vectors") != is_chat]
            allowed = [one for one in fit if self._book.may_attempt(key, agent, sought, one, residency, strictly=True)]
            if allowed:
                raise Fault(f"{key.id} asked for {asked} and was refused, though {allowed} may serve")

    def _check_raw(self, got: Answered, key: Key, agent: str | None, residency: str | None, provider: str) -> None:
        may = self._book.may_pass(key, agent, provider, residency)
        if got.attempts and not may:
            raise Fault(f"{key.id} passed to {provider}, which it may not use")
        if may and got.status == 403 and got.code != "price_unknown":
            raise Fault(f"{key.id} was not let through to {provider}, which it may use: {got.body!r}")

    def _check_limits(self, got: Answered, key: Key) -> None:
        """Nothing is sent past a limit, and nobody is refused for one that is not reached."""
        is_used_up = self._book.is_used_up(key, self._office.now)
        if got.attempts:
            if is_used_up:
                raise Fault(f"a limit of {key.id} was passed")
            self._book.count(key, self._office.now)
        elif got.code == "rate_limit_exceeded" and not is_used_up and not self._book.may_be_used_up(key):
            raise Fault(f"{key.id} was refused for a limit that is not reached")

    def _check_own(self, what: str, got: Answered, key: Key | None, owner: str) -> None:
        if key is not None and (got.status == 200) != (key.id == owner):
            raise Fault(f"a {what} of {owner} is {'' if got.status == 200 else 'not '}shown to {key.id}")
