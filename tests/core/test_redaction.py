"""What looks like a key, in text and in names."""

from __future__ import annotations

import pytest

from afterbay.core.decision import Record
from afterbay.core.redaction import is_like_a_secret, redact_record

KEYS = [
    "sk-proj-Ab3dEf6hIj9lMn2p",
    "sk-ant-api03-Ab3dEf6hIj9lMn2p",
    "ab-Ab3dEf6hIj9lMn2pQr5t",
    "AIzaSyAb3dEf6hIj9lMn2pQr5tUv8x",
    "AKIAIOSFODNN7EXAMPLE",
    "hf_aB3dEf6hIj9lMn2pQr5t",
    "key-sk-0123456789abcdef0123456789abcdef",
]
NAMES = ["main", "hf-research-team-2", "pk-payments-service", "sk-team-frontend-2026", "a" * 64, "ci@example.com", ""]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_known_in_place_of_a_name(key: str) -> None:
    assert is_like_a_secret(key)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_name(name: str) -> None:
    assert not is_like_a_secret(name)


def test_a_provider_s_code_may_be_a_key() -> None:
    record = Record("req_1", 0.0, "chat", "openai.chat", outcome=KEYS[0])
    redact_record(record)
    assert record.outcome == "sk-pro…[redacted]"
