"""Access tokens of cloud accounts: fetched in a thread, kept until shortly before they end, renewed once at a time.

The libraries that know the clouds' chains of credentials are blocking and optional; they are imported where a provider
needs them, and an error says what to install or to set.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from functools import partial
from urllib.parse import urlsplit

import msgspec

from afterbay.config.snapshot import Provider
from afterbay.ports import TransportError
from afterbay.providers.signer import Signer

logger = logging.getLogger("afterbay.providers")

EARLY_S = 180.0
"""A token is renewed so long before its end. Google's metadata server has a new one 225 s before (google-auth)."""
FETCH_S = 15.0
"""A request waits so long for a token; the fetch itself may end later and serve the next one."""
REST_S = 5.0
"""After a failure, or a new token that ends soon as well, nobody is asked for so long."""

GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
"""Source: google-genai 3.6.1, `_api_client.load_auth`."""
AZURE_SCOPE = "https://cognitiveservices.azure.com/.default"
"""Source: the README of openai, "Microsoft Entra ID", November 2026."""

_NOT_FOR_TOKENS = frozenset({"authorization", "api-key", "x-goog-api-key"})


class Token(msgspec.Struct, frozen=True):
    """An access token. `ends_s` is UTC seconds; infinity: it does not end."""

    text: str
    ends_s: float

    def __repr__(self) -> str:
        """Without the token."""
        return f"Token(ends_s={self.ends_s:.0f})"


class NoCredentials(Exception):
    """There is nothing to get a token with. The text says what to do."""


class TokenSigner:
    """Signs with `authorization: Bearer`. `fetch` blocks, and is called in a thread of its own.

    `fetch` raises `NoCredentials`; what else it raises is logged, and its kind alone is told.
    """

    def __init__(self, whose: str, fetch: Callable[[], Token], utc: Callable[[], float] = time.time) -> None:
        self._whose = whose
        self._fetch = fetch
        self._utc = utc
        self._token: Token | None = None
        self._failure = ""
        self._rests_until_s = 0.0
        self._renewal: asyncio.Future[Token] | None = None

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """See `afterbay.providers.signer.Signer.secrets`."""
        return (self._token.text.encode(),) if self._token is not None else ()

    def refused(self) -> None:
        """Nothing to do: a token says itself when it ends."""

    async def sign(self, url: str, body: bytes, headers: Mapping[str, str], method: str = "POST") -> dict[str, str]:
        """See `afterbay.providers.signer.Signer.sign`."""
        token, now_s = self._token, self._utc()
        if token is None or token.ends_s - EARLY_S <= now_s:
            if now_s >= self._rests_until_s:
                await self._renew()
            token = self._token
        if token is None or token.ends_s <= self._utc():
            why = self._failure or f"{self._whose}: no token came in {FETCH_S:g} s"
            raise TransportError(why, connected=False, code="no_credentials")
        return {"authorization": f"Bearer {token.text}"}

    async def _renew(self) -> None:
        """Waits for the renewal that is under way, or for a new one. A cancelled request does not cancel it."""
        if self._renewal is None:
            self._renewal = asyncio.get_running_loop().run_in_executor(None, self._fetch)
            self._renewal.add_done_callback(self._learn)
        await asyncio.wait([self._renewal], timeout=FETCH_S)

    def _learn(self, renewal: asyncio.Future[Token]) -> None:
        """Keeps what a renewal brought, a token or the reason why there is none."""
        self._renewal = None
        rests = True
        try:
            self._token, self._failure = renewal.result(), ""
            rests = self._token.ends_s - EARLY_S <= self._utc()
        except NoCredentials as error:
            self._failure = f"{self._whose}: {error}"
        except (Exception, asyncio.CancelledError) as error:
            logger.error("no token of %s", self._whose, exc_info=error)
            self._failure = f"{self._whose}: no token could be had ({type(error).__name__}), see the log"
        self._rests_until_s = self._utc() + REST_S if rests else 0.0


class GoogleTokens:
    """Tokens by Application Default Credentials. Source: google-auth 2.63.0."""

    def __init__(self) -> None:
        self._refresh: Callable[[], Token] | None = None

    def __call__(self) -> Token:
        """A new token."""
        if self._refresh is None:
            self._refresh = self._find()
        return self._refresh()

    def _find(self) -> Callable[[], Token]:
        try:
            import google.auth
            from google.auth.exceptions import DefaultCredentialsError
            from google.auth.transport.requests import Request
        except ImportError:
            raise NoCredentials("google-auth is not installed: pip install 'afterbay[gcp]', or set api_key") from None
        try:
            credentials, _ = google.auth.default(scopes=[GOOGLE_SCOPE])
        except DefaultCredentialsError:
            text = (
                "there are no Application Default Credentials: set GOOGLE_APPLICATION_CREDENTIALS to the file of a "
                "service account, run `gcloud auth application-default login`, or set api_key"
            )
            raise NoCredentials(text) from None
        request = partial(Request(), timeout=FETCH_S)

        def refresh() -> Token:
            credentials.refresh(request)  # type: ignore[no-untyped-call]  # google-auth has no types here
            expiry = credentials.expiry  # UTC without a time zone
            ends_s = expiry.replace(tzinfo=UTC).timestamp() if expiry is not None else float("inf")
            return Token(str(credentials.token), ends_s)

        return refresh


class AzureTokens:
    """Tokens of Microsoft Entra ID by the default chain. Source: azure-identity 1.27.0."""

    def __init__(self) -> None:
        self._get: Callable[[], Token] | None = None

    def __call__(self) -> Token:
        """A new token."""
        if self._get is None:
            self._get = self._find()
        return self._get()

    def _find(self) -> Callable[[], Token]:
        try:
            from azure.core.exceptions import ClientAuthenticationError
            from azure.identity import DefaultAzureCredential
        except ImportError:
            raise NoCredentials(
                "azure-identity is not installed: pip install 'afterbay[azure]', or set api_key"
            ) from None
        credential = DefaultAzureCredential()

        def get() -> Token:
            try:
                found = credential.get_token(AZURE_SCOPE)
            except ClientAuthenticationError:
                text = (
                    "no credential of the default chain works: set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
                    "AZURE_CLIENT_SECRET, run `az login`, use a managed identity, or set api_key"
                )
                raise NoCredentials(text) from None
            return Token(found.token, float(found.expires_on))

        return get


def signer_for(provider: Provider) -> Signer | None:
    """What signs for a provider without a key; None where nothing must: it has a key, a header, or no cloud account.

    A token never goes over a connection that is not encrypted.
    """
    url = urlsplit(provider.base_url)
    if provider.keys or url.scheme != "https" or url.username is not None:
        return None
    if _NOT_FOR_TOKENS & {name.lower() for name in provider.headers}:
        return None
    if provider.kind == "vertex":
        return TokenSigner("Google credentials", GoogleTokens())
    return TokenSigner("Azure credentials", AzureTokens()) if provider.kind == "azure" else None
