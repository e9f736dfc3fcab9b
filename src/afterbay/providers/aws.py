"""Amazon's credentials and signatures, by botocore (the extra `aws`), which is loaded at the first request.

Credentials are found and refreshed in a thread, one at a time, and kept for a minute: botocore renews them ten minutes
before they end, so a minute's delay costs nothing. While one request fetches new ones, the others go on with the old.
Source: docs.aws.amazon.com "Create a signed AWS API request" (November 2026); botocore 1.44 `auth`, `credentials`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from afterbay.config.snapshot import Provider
from afterbay.ports import TransportError

SERVICE = "bedrock"
FRESH_S = 60.0
"""So long credentials are taken without looking again."""
STALE_S = 300.0
"""So long old ones serve while new ones are fetched."""
SEARCH_S = 15.0
"""The longest search: an instance's metadata service, a sign-on service or a process may be asked."""
PAUSE_S = 5.0
"""So long after a search that found nothing, none is begun."""
LARGE_BYTES = 256 * 1024
"""A larger body is hashed in a thread."""

_INSTALL = (
    "signing needs botocore, which is not installed: pip install 'afterbay[aws]', or give the provider an api_key"
)
_NOTHING = (
    "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the provider's profile, or its "
    "api_key (an API key of Bedrock)"
)

Search = Callable[[], Any]
"""Finds botocore's `Credentials`, or None. Blocks; may raise anything."""


class SigV4Signer:
    """Signs requests to Bedrock. See `afterbay.providers.signer.Signer`."""

    def __init__(self, region: str, search: Search) -> None:
        self._region = region
        self._search = search
        self._found: Any = None  # botocore's Credentials, which refresh themselves
        self._frozen: Any = None  # one consistent set of them
        self._taken_s = self._failed_s = float("-inf")
        self._why = _NOTHING
        self._is_fetching = asyncio.Lock()

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The secret key and the session token in use: an error may quote the request that it refuses."""
        frozen = self._frozen
        return () if frozen is None else tuple(one.encode() for one in (frozen.secret_key, frozen.token) if one)

    async def sign(self, url: str, body: bytes, headers: Mapping[str, str], method: str = "POST") -> dict[str, str]:
        """The headers to add: the signature, and what it is over.

        Raises:
            TransportError: no credentials, or no botocore; it says what to set or install.
        """
        frozen = await self._credentials()
        if len(body) > LARGE_BYTES:
            return await asyncio.to_thread(signed, url, body, headers, frozen, self._region, method)
        return signed(url, body, headers, frozen, self._region, method)

    def refused(self) -> None:
        """The provider did not take the credentials: they are looked for anew (a file may hold others by now)."""
        now = asyncio.get_running_loop().time()
        if now - self._taken_s > PAUSE_S:
            self._found, self._taken_s = None, float("-inf")

    async def _credentials(self) -> Any:
        clock = asyncio.get_running_loop().time
        if clock() - self._taken_s > FRESH_S and not (self._is_fetching.locked() and clock() - self._taken_s < STALE_S):
            async with self._is_fetching:
                now = clock()
                if now - self._taken_s > FRESH_S and now - self._failed_s > PAUSE_S:
                    await self._fetch()
        if self._frozen is None or clock() - self._taken_s > STALE_S:
            raise TransportError(self._why, connected=False, code="no_credentials")
        return self._frozen

    async def _fetch(self) -> None:
        """Looks for credentials; what went wrong is kept as the reason."""
        try:
            async with asyncio.timeout(SEARCH_S):
                self._found, frozen = await asyncio.to_thread(_freeze, self._found, self._search)
            if frozen is not None:
                self._frozen, self._taken_s = frozen, asyncio.get_running_loop().time()
                return
            self._why = _NOTHING
        except ImportError:
            self._why = _INSTALL
        except TimeoutError:
            self._why = f"AWS credentials were not found within {SEARCH_S:g} s"
        except Exception as error:  # botocore's own, a profile that is not there, a process that failed
            self._why = f"AWS credentials could not be had: {_said(error)}"
        self._failed_s = asyncio.get_running_loop().time()


def _freeze(found: Any, search: Search) -> tuple[Any, Any]:
    """Credentials, searched for where there are none yet, and one consistent set of them."""
    found = found if found is not None else search()
    return found, found.get_frozen_credentials() if found is not None else None


def _said(error: Exception) -> str:
    """What happened, in one line, and not at length: it is shown to clients."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


def signed(
    url: str, body: bytes, headers: Mapping[str, str], credentials: Any, region: str, method: str = "POST"
) -> dict[str, str]:
    """The headers of a signature (version 4) over the request as it will be sent: `url` is in its final quoting.

    Of the headers only the content type is signed, beside the host and Amazon's own: a proxy may change the others.
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    request = AWSRequest(method, url, {"content-type": headers.get("content-type", "application/json")}, body)
    SigV4Auth(credentials, SERVICE, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def aws_signer_for(provider: Provider, environ: Mapping[str, str]) -> SigV4Signer | None:
    """The signer of a provider; None where its requests carry a key or need none."""
    if provider.kind != "bedrock" or provider.keys or any(name.lower() == "authorization" for name in provider.headers):
        return None
    return SigV4Signer(provider.region or "", lambda: search_chain(provider.profile, provider.region, environ))


def search_chain(profile: str | None, region: str | None, environ: Mapping[str, str]) -> Any:
    """The standard search: environment, shared files with `profile`, sign-on, process, container, instance.

    `environ` says where the files are and whether an instance may be asked, so that a gateway under test, which is
    given an environment of its own, does not find the developer's credentials.
    """
    from botocore.credentials import EnvProvider, create_credential_resolver
    from botocore.session import Session

    logging.getLogger("botocore").setLevel(logging.WARNING)  # its debugging lines quote session tokens
    if profile is None and environ.get("AWS_ACCESS_KEY_ID"):
        return EnvProvider(environ=environ).load()
    session = Session(profile=profile or environ.get("AWS_PROFILE"))
    home = environ.get("HOME", "")
    for name, variable, usual in (
        ("config_file", "AWS_CONFIG_FILE", "config"),
        ("credentials_file", "AWS_SHARED_CREDENTIALS_FILE", "credentials"),
    ):
        session.set_config_variable(name, environ.get(variable) or f"{home}/.aws/{usual}")
    resolver = create_credential_resolver(session, region_name=region)
    resolver.remove("env")
    for method in ("ec2-credentials-file", "boto-config"):  # of the years before boto3
        resolver.remove(method)
    if not any(name.startswith("AWS_CONTAINER_CREDENTIALS_") for name in environ):
        resolver.remove("container-role")
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        resolver.remove("iam-role")
    return resolver.load_credentials()
