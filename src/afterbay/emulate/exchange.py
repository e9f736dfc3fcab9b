"""One request to an emulated provider, from its headers to the last byte of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import blake2b

from afterbay.core.errors import ClientMistake, GatewayError
from afterbay.core.request import ChatRequest, EmbedRequest
from afterbay.core.usage import Usage
from afterbay.emulate.answer import answer, prompt_of
from afterbay.emulate.delivery import Delivery, send_whole
from afterbay.emulate.directives import Orders, obey
from afterbay.emulate.embedding import DIMENSIONS, embed
from afterbay.emulate.line import Line
from afterbay.emulate.plan import Plan, decide, gap_s
from afterbay.emulate.protocols import BAD_KEY, Allowance, ordered_error, reasoned_error, refusal
from afterbay.emulate.provider import Provider
from afterbay.emulate.routing import Call
from afterbay.emulate.words import count, count_request
from afterbay.ports import Clock
from afterbay.wire.dialect import Head
from afterbay.wire.registry import COUNTERS, EMBED_DIALECTS, EMBEDS_AS

DEFAULT_MODELS = ("emu-text", "emu-echo", "emu-think", "emu-embed")
"""What a provider lists that knows every name."""
MAX_DIMENSIONS = 8192


class Exchange:
    """Serves one call. `is_stream` is known once the body was read."""

    def __init__(
        self, provider: Provider, call: Call, line: Line, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> None:
        self.is_stream = False
        self._provider, self._call, self._line = provider, call, line
        self._headers, self._query = headers, query
        self._number = provider.take_number()
        self._draws = provider.draws(self._number)
        self._plan = decide(provider.profile, self._draws)
        text = f"{provider.profile.seed}/{provider.name}/{self._number}"
        self._seed = blake2b(text.encode(), digest_size=12).hexdigest()
        self._allowance: Allowance | None = None
        self._wait_text: str | None = None

    async def run(self, body: bytes, clock: Clock) -> None:
        """Answers, or fails, as planned.

        Raises:
            Gone: the client left, or the connection was broken by the plan.
        """
        try:
            if self._call.operation == "chat":
                await self._chat(body, clock)
            else:
                await self._other(body, clock)
        except GatewayError as error:
            await self._refuse(error, clock)
        finally:
            self._provider.open_streams -= self.is_stream

    def _admit(self, clock: Clock) -> None:
        """Key and rate limit, before anything of the request counts."""
        key = self._call.protocol.find_key(self._headers, self._query)
        if key is None or key == BAD_KEY or key in self._provider.profile.revoked:
            raise self._call.protocol.key_error(key is not None)
        fits, self._allowance = self._provider.allow(clock.monotonic())
        if not fits and self._allowance is not None:
            self._provider.fired("limit")
            raise ordered_error(429, max(round(self._allowance.reset_s), 1))

    async def _chat(self, body: bytes, clock: Clock) -> None:
        await self._before_reading(self._plan)
        self._admit(clock)
        request = self._call.protocol.dialect.parse_request(body, self._call.model, self._call.stream)
        self.is_stream = request.stream
        self._provider.open_streams += self.is_stream
        self._know(request.model)
        orders = self._orders(request)
        if orders.plan.refuse != self._plan.refuse or orders.plan.hang_s != self._plan.hang_s:
            await self._before_reading(orders.plan)
        await self._fail_as_planned(orders.plan)
        answered = answer(request, orders, self._seed, self._call.protocol.call_prefix)
        head = Head(
            self._seed,
            orders.plan.model or request.model,
            int(clock.utc()),
            request.include_usage,
            answered.input_tokens,
        )
        delivery = Delivery(
            self._line,
            self._call.protocol,
            orders.plan,
            head,
            self._extra(clock, answered.ignored),
            lambda piece: gap_s(self._provider.profile, orders.plan, self._draws, piece),
            self._provider.fired,
        )
        if orders.plan.empty:
            self._provider.fired("empty")
        self._provider.answered(200)
        if orders.plan.body != "proper":
            await delivery.send_page()
        elif request.stream and self._is_sse():
            await delivery.send_stream(answered)
        else:
            await delivery.send_answer(answered)

    def _is_sse(self) -> bool:
        """Google streams a JSON array unless asked for events; the emulator then sends the answer whole."""
        return self._call.protocol.name != "gemini" or self._query.get("alt") == "sse"

    def _orders(self, request: ChatRequest) -> Orders:
        if not self._provider.profile.directives:
            return Orders(self._plan)
        names = (self._provider.name, self._call.protocol.name, request.model)
        return obey(prompt_of(request), self._plan, names)

    async def _before_reading(self, plan: Plan) -> None:
        if plan.refuse:
            self._provider.fired("refuse")
            self._provider.answered(0)
            await self._line.shatter(reset=True)
        if plan.hang_s:
            self._provider.fired("hang")
            await asyncio.sleep(plan.hang_s)

    async def _fail_as_planned(self, plan: Plan) -> None:
        if plan.status is not None:
            self._provider.fired("status")
            await asyncio.sleep(plan.headers_s)
            self._wait_text = plan.wait_text
            key = self._call.protocol.find_key(self._headers, self._query)
            raise reasoned_error(plan.status, plan.reason, self._call.protocol.name, key, plan.retry_after_s)

    def _know(self, model: str) -> None:
        models = self._provider.profile.models
        if models and model not in models:
            raise refusal(404, f"The model '{model}' does not exist.", code="model_not_found", param="model")

    async def _other(self, body: bytes, clock: Clock) -> None:
        await self._before_reading(self._plan)
        self._admit(clock)
        await self._fail_as_planned(self._plan)
        await asyncio.sleep(self._plan.headers_s + self._plan.ttft_s)
        await self._send(200, self._extra(clock), self._body(body, clock))

    def _body(self, body: bytes, clock: Clock) -> bytes:
        call, names = self._call, self._provider.profile.models or DEFAULT_MODELS
        match call.operation:
            case "models":
                return call.protocol.list_models(names, clock.utc())
            case "model":
                self._know(call.model or "")
                return call.protocol.describe_model(call.model or "", clock.utc())
            case "count":
                return self._count(body)
            case _:
                return self._embed(body)

    def _count(self, body: bytes) -> bytes:
        counter = COUNTERS[self._call.protocol.dialect.name]
        request = counter.parse_request(body, self._call.model)
        self._know(request.model)
        return counter.render_answer(count_request(request))

    def _embed(self, body: bytes) -> bytes:
        dialect = EMBED_DIALECTS[EMBEDS_AS[self._call.protocol.dialect.name]]
        request = dialect.parse_request(body, self._call.model)
        self._know(request.model)
        vectors = _vectors(request)
        usage = Usage(sum(count(one) if isinstance(one, str) else len(one) for one in request.inputs))
        return dialect.render_answer(vectors, usage, request.model, request)

    async def _refuse(self, error: GatewayError, clock: Clock) -> None:
        headers = self._extra(clock)
        if error.retry_after_s is not None:
            headers["retry-after"] = _plain_number(error.retry_after_s)
        if self._wait_text is not None:
            headers["retry-after"] = self._wait_text
        body = self._call.protocol.dialect.render_error(error, self._request_id())
        await self._send(error.status, headers, body)

    async def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._provider.answered(status)
        await send_whole(self._line, status, {**headers, "content-type": "application/json"}, body)

    def _request_id(self) -> str:
        return f"req_{self._seed}"

    def _extra(self, clock: Clock, ignored: tuple[str, ...] = ()) -> dict[str, str]:
        headers = {self._call.protocol.request_header: self._request_id()}
        if self._allowance is not None:
            headers |= self._call.protocol.limit_headers(self._allowance, clock.utc())
        if ignored:
            headers["x-emulate-ignored"] = ", ".join(ignored)
        return headers


def _vectors(request: EmbedRequest) -> list[list[float]]:
    dimensions = DIMENSIONS if request.dimensions is None else request.dimensions
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise ClientMistake(f"dimensions must be 1 to {MAX_DIMENSIONS}.", param="dimensions", code="invalid_value")
    return [embed(one, dimensions) for one in request.inputs]


def _plain_number(value: float) -> str:
    """A number as headers say it: no exponent, no needless fraction, `inf` as it is."""
    return str(int(value)) if value == value // 1 and abs(value) < 1e18 else str(value)
