"""Lines in the log for what an operator must mend: a model that is gone, an account without credit, a certificate.

One line a target and cause in an hour, since such an error comes with every request. Refused keys have lines of their
own, written where the keys are (`afterbay.providers.keys`).
"""

from __future__ import annotations

import logging

from afterbay.core.decision import Target
from afterbay.core.errors import ProviderError

AGAIN_S = 3600.0
KNOWN = 1024
"""So many targets and causes are remembered: clients name direct targets."""

_TOLD: dict[str | None, str] = {
    "not_found": "the provider does not know this model (any more): correct the name, or remove the deployment",
    "dns_not_found": "the host name in its base_url is not found",
    "tls_failed": "its certificate or its TLS cannot be trusted: nothing was sent; correct base_url or ca_file",
    "proxy_failed": "its proxy does not let requests through",
    "no_credentials": "there are no credentials for it",
    "quota": "credit or quota is used up: see to the account; until then the target is tried last",
}
"""By the error's code, else by its kind."""

CAUSES = tuple(str(cause) for cause in _TOLD)

logger = logging.getLogger("afterbay.engine")


class Alerts:
    """Remembers what was said, and counts it by cause for the metrics."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = dict.fromkeys(CAUSES, 0)
        self._told_s: dict[tuple[str, str], float] = {}

    def failed(self, target: Target, error: ProviderError, now: float) -> None:
        """An attempt failed. `now`: monotonic seconds. A model that only a client named is the client's to mend."""
        name = error.code if error.code in _TOLD else error.kind
        advice = _TOLD.get(name)
        if advice is None or name is None or (error.kind == "not_found" and target.alias == target.id):
            return
        cause = (target.id, name)
        last_s = self._told_s.get(cause)
        if last_s is not None and now - last_s < AGAIN_S:
            return
        if cause not in self._told_s and len(self._told_s) >= KNOWN:
            self._told_s.pop(next(iter(self._told_s)))
        self._told_s[cause] = now
        self._counts[name] += 1
        status = f"status {error.status}" if error.status is not None else error.kind
        logger.error("%s: %s (%s, %s)", target.id, advice, status, error.code or "no code")

    def count(self, cause: str) -> int:
        """How many lines were written for a cause (of `CAUSES`) since the start."""
        return self._counts[cause]
