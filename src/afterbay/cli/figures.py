"""Numbers as people read them: durations, money, sizes, tokens. What is unknown is said, never shown as 0."""

from __future__ import annotations

from collections.abc import Mapping

from afterbay.core.usage import Usage, microusd

UNKNOWN = "unknown"


def seconds(duration_s: float | None) -> str:
    """`40 µs`, `1.4 ms`, `850 ms`, `1.92 s`, `75 s`; `-` for what did not happen."""
    if duration_s is None:
        return "-"
    if duration_s < 0.0009995:
        return f"{duration_s * 1e6:.0f} µs"
    if duration_s < 0.01:
        return f"{duration_s * 1000:.1f} ms"
    if duration_s < 1:
        return f"{duration_s * 1000:.0f} ms"
    return f"{duration_s:.2f} s" if duration_s < 60 else f"{duration_s:.0f} s"


def dollars(picousd: int | None) -> str:
    """`$0.000123`, rounded up to a whole microdollar; `$0` only for what is known to be free."""
    if picousd is None:
        return UNKNOWN
    if picousd == 0:
        return "$0"
    whole, _, rest = f"{microusd(picousd) / 1e6:.6f}".partition(".")
    return f"${whole}.{rest.rstrip('0'):0<2}"


def per_million(picousd_per_token: int) -> str:
    """A price of a token as USD per million tokens."""
    return f"{picousd_per_token / 1e6:.6f}".rstrip("0").rstrip(".")


def megabytes(size_bytes: int) -> str:
    """`98 MB`, `1.1 GB`."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


def short_usage(usage: Usage | None) -> str:
    """`12/0/40/0`: input (cache writes included), cached, output, reasoning; `~` in front of estimates."""
    if usage is None:
        return "-"
    numbers = (
        usage.input_tokens + usage.cache_write_tokens,
        usage.cached_input_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
    )
    return ("~" if usage.estimated else "") + "/".join(map(str, numbers))


def shown(value: object) -> str:
    """A fact of a request: a list joined by `+`, a mapping as `name=value`."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={one}" for name, one in value.items())
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def printable(text: str) -> str:
    """Text that cannot move the cursor, change colours or break a table: control characters are shown as `?`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
