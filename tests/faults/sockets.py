"""Runs all cases of a fault on real sockets: a gateway, the chaos proxy, the emulator, and a plain HTTP client."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from afterbay.core.decision import Record
from afterbay.emulate.profile import Profile, ProfileFile
from afterbay.emulate.run import listen, server, url_of
from afterbay.emulate.server import Emulator
from afterbay.testing.chaos import ChaosProxy
from afterbay.testing.live import LiveGateway
from afterbay.testing.toxics import AnyToxic, Down, Tls
from faults.catalogue import Case, Fault, cases
from faults.judging import FIRST, SECOND, SECRET, WORDS, Evidence
from faults.reading import Seen, read
from faults.requests import body_of, path_of, prompt_of
from faults.simulated import EVENT_BYTES, LIMITS, emulated, other

KINDS = {"openai.chat": "openai", "openai.responses": "openai", "anthropic.messages": "anthropic", "gemini": "gemini"}
SETTLED_S = 5.0
CLIENT_S = 25.0
PRICE = {"input": 1.0, "output": 2.0}


class Place:
    """Where one case's providers are, as the gateway's configuration says it."""

    def __init__(self, number: int, case: Case) -> None:
        self.number, self.case = number, case
        self.names = (f"c{number}a", f"c{number}b")
        self.protocols = (case.protocol, other(case.protocol))
        self.providers: list[dict[str, Any]] = []

    @property
    def emulated(self) -> list[str]:
        """The emulator's names of the providers."""
        return [emulated(spoken, name) for spoken, name in zip(self.protocols, self.names, strict=True)]

    def add(self, base: str, **more: Any) -> None:
        """The next provider, reached under `base`."""
        at = len(self.providers)
        spoken = self.protocols[at]
        path = f"/{self.emulated[at]}" + ("/v1" if KINDS[spoken] == "openai" else "")
        api = {"api": "responses"} if spoken == "openai.responses" else {}
        kind = {"kind": KINDS[spoken], "api_key": SECRET, "price": PRICE, **api}
        self.providers.append({**kind, "base_url": base + path, **more})


def evidence_of(fault: Fault) -> dict[Case, Evidence]:
    """What becomes of all cases of a fault."""
    return asyncio.run(_observe(fault))


async def _observe(fault: Fault) -> dict[Case, Evidence]:
    places = [Place(at, case) for at, case in enumerate(one for one in cases(fault) if one.mode == "sockets")]
    async with AsyncExitStack() as stack:
        opened = listen("127.0.0.1", 0)
        serving = server(ProfileFile(Profile("instant")))
        emulator: Emulator = serving.config.app  # type: ignore[assignment]  # `server` made it
        running = asyncio.create_task(serving.serve(sockets=[opened]))
        stack.push_async_callback(_stop, serving, running, opened)
        proxies: list[ChaosProxy] = []
        for place in places:
            proxies += await _place(place, fault, url_of(opened), stack)
        gateway = LiveGateway(_configuration(fault, places))
        await asyncio.to_thread(gateway.__enter__)
        try:
            found = await _ask_all(gateway, fault, places, emulator)
        finally:
            await asyncio.to_thread(gateway.close)
        left = await _left(places, proxies, emulator)
    left += [] if fault.below else gateway.watch.broken
    tasks = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    left += [f"the task {name} is left" for name in tasks]
    for evidence in found.values():
        evidence.left = [*evidence.left, *left]
    return found


async def _stop(serving: Any, running: asyncio.Task[None], opened: Any) -> None:
    serving.should_exit = True
    async with asyncio.timeout(10):
        await running
    opened.close()


async def _place(place: Place, fault: Fault, url: str, stack: AsyncExitStack) -> list[ChaosProxy]:
    """Puts the toxics in the providers' way."""
    at = urlsplit(url)
    proxies: list[ChaosProxy] = []

    async def behind(toxics: tuple[AnyToxic, ...]) -> ChaosProxy:
        proxy = ChaosProxy(at.hostname or "", at.port or 0, *toxics, seed=place.number)
        proxies.append(await stack.enter_async_context(proxy))
        return proxy

    for number in range(1 if fault.inject.fallback == "none" else 2):
        toxics = fault.inject.toxics if number == 0 or fault.inject.both else ()
        if number == 0 and fault.inject.own == "dns":
            place.add("http://nowhere.invalid")
        elif number == 0 and fault.inject.own == "egress_proxy":
            place.add(url, proxy=(await behind((Down(),))).url)
        elif toxics:
            proxy = await behind(toxics)
            tls = {"ca_file": str(proxy.authority)} if any(isinstance(one, Tls) for one in toxics) else {}
            place.add(proxy.url, **tls)
        else:
            place.add(url)
    return proxies


def _configuration(fault: Fault, places: list[Place]) -> dict[str, Any]:
    route = dict(fault.route)
    times = {
        "connect": LIMITS.connect_s,
        "first_token": LIMITS.first_token_s,
        "between_tokens": LIMITS.between_tokens_s,
        "total": LIMITS.total_s,
        **route.pop("timeouts", {}),
    }
    config: dict[str, Any] = {
        "providers": {},
        "models": {},
        "routes": {},
        "limits": {"event_bytes": EVENT_BYTES},
        "defaults": {"timeouts": times, "max_attempts": LIMITS.max_attempts, **route},
    }
    for place in places:
        names = place.names[: len(place.providers)]
        for name, provider, model in zip(names, place.providers, (FIRST, SECOND), strict=False):
            config["providers"][name] = provider
            config["models"][f"m-{name}"] = {"provider": name, "name": model, "fallback": []}
        config["routes"][f"case{place.number}"] = {"fallback": [f"m-{name}" for name in names]}
    return config


async def _ask_all(gateway: LiveGateway, fault: Fault, places: list[Place], emulator: Emulator) -> dict[Case, Evidence]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CLIENT_S)) as http:
        if fault.alone:
            answers = [await _ask(http, gateway.url, fault, place) for place in places]
        else:
            answers = await asyncio.gather(*(_ask(http, gateway.url, fault, place) for place in places))
    count = len(places) * fault.requests
    records = await asyncio.to_thread(gateway.records, count, SETTLED_S)
    found: dict[Case, Evidence] = {}
    for place, seen in zip(places, answers, strict=True):
        own: list[Record] = [one for one in records if one.requested_model == f"case{place.number}"]
        left = [] if len(own) == fault.requests else [f"{len(own)} records of {fault.requests} requests"]
        asked = sum(emulator.provider(name).stats()["requests"] for name in place.emulated)
        found[place.case] = Evidence(seen, own, asked, left, fault.text or WORDS)
    if open_streams := gateway.gateway.context.open_streams:
        for evidence in found.values():
            evidence.left = [*evidence.left, f"{open_streams} streams are still counted as open"]
    return found


async def _ask(http: aiohttp.ClientSession, url: str, fault: Fault, place: Place) -> Seen:
    case, model = place.case, f"case{place.number}"
    second = () if fault.inject.fallback == "none" else fault.inject.fallback
    prompt = prompt_of(fault.inject.emulator, second, fault.text or WORDS, tools=fault.tools)
    body = body_of(case.protocol, model, prompt, stream=case.stream, tools=fault.tools)
    headers = {"content-type": "application/json", **fault.headers}
    seen = Seen()
    for _ in range(fault.requests):
        seen = Seen()
        began_s = time.monotonic()
        try:
            async with http.post(
                url + path_of(case.protocol, model, stream=case.stream), data=body, headers=headers
            ) as got:
                seen.status = got.status
                seen.headers = {name.lower(): value for name, value in got.headers.items()}
                async for piece in got.content.iter_any():
                    seen.body += piece
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            seen.broke = f"{type(error).__name__}: {error}"
        seen.elapsed_s = time.monotonic() - began_s
    return read(seen, case.protocol, stream=case.stream)


async def _left(places: list[Place], proxies: list[ChaosProxy], emulator: Emulator) -> list[str]:
    """What is still open after the gateway has gone, and a while of grace."""
    end_s = time.monotonic() + SETTLED_S
    while True:
        left = [f"{one.open} connections through a proxy are left" for one in proxies if one.open]
        names = [name for place in places for name in place.emulated[: len(place.providers)]]
        left += [f"{name} still works on an answer" for name in names if emulator.provider(name).open]
        if not left or time.monotonic() > end_s:
            return left
        await asyncio.sleep(0.01)
