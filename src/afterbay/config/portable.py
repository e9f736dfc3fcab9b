"""A snapshot as text that may leave the machine: without any secret, and readable again, for replays.

Not in it are: keys (as many stars as there were keys, since their number decides retries), values of headers, the
proxy, the certificate file, the profile, everything of an address but scheme, host, port and path, and where state and
traces go.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec

from afterbay.config.fields import Seconds
from afterbay.config.schema import StateConfig, TelemetryConfig
from afterbay.config.snapshot import Snapshot
from afterbay.core.secret import Secret

STARS = "***"


def portable(snapshot: Snapshot) -> Snapshot:
    """The snapshot without its secrets. Its hash stays that of the whole one."""
    providers = {
        name: msgspec.structs.replace(
            one,
            base_url=_address(one.base_url),
            keys=(Secret(STARS),) * len(one.keys),
            headers=dict.fromkeys(one.headers, STARS),
            proxy=STARS if one.proxy else None,
            ca_file=None,
            profile=None,
        )
        for name, one in snapshot.providers.items()
    }
    state = StateConfig(retention=snapshot.state.retention)
    told = TelemetryConfig(metrics_public=snapshot.telemetry.metrics_public)
    return msgspec.structs.replace(snapshot, providers=providers, state=state, telemetry=told, warnings=(), source=None)


def to_json(snapshot: Snapshot) -> bytes:
    """The portable form as JSON: the same bytes for the same configuration."""
    return msgspec.json.encode(portable(snapshot), enc_hook=_encoded, order="deterministic")


def from_json(text: bytes) -> Snapshot:
    """The snapshot that `to_json` wrote.

    Raises:
        msgspec.DecodeError: it is none, or of a release with other fields.
    """
    return msgspec.json.decode(text, type=Snapshot, dec_hook=_decoded)


def _address(url: str) -> str:
    """Scheme, host, port and path."""
    parts = urlsplit(url)
    if not parts.scheme:
        return url
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _encoded(value: object) -> object:
    if isinstance(value, Secret):
        return STARS
    if isinstance(value, float):  # Seconds
        return float(value)
    raise NotImplementedError(type(value).__name__)


def _decoded(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(str(value))
    if kind is Seconds:
        return Seconds(value)
    raise NotImplementedError(kind.__name__)
