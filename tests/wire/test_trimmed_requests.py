"""A history that was trimmed has the form that every provider takes, if it had that before."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afterbay.core.request import ChatRequest
from afterbay.policy.overflow import History
from afterbay.policy.plan import Overflow
from afterbay.wire.registry import DIALECTS
from wire.golden.case import BEDROCK
from wire.golden.sdk_types import complaints
from wire.golden.shapes import faults
from wire.test_request_properties import MODELS, asks, requests

modes: st.SearchStrategy[Overflow] = st.sampled_from(["trim_oldest", "middle_out"])


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(request=requests, share=st.floats(0.1, 1), mode=modes, pick=st.integers(0, 5))
def test_what_is_left_has_the_form_that_its_provider_takes(
    dialect: str, request: ChatRequest, share: float, mode: Overflow, pick: int
) -> None:
    history = History(request.messages)
    least = history.least(mode)
    fitted = history.fit(least + int((history.tokens - least) * share), mode)
    assert fitted is not None
    trimmed = msgspec.structs.replace(request, messages=fitted.messages)
    if not asks(trimmed, by_url=dialect != BEDROCK):
        return  # what comes of an empty question is the provider's to say
    built = DIALECTS[dialect].build_request(trimmed, MODELS[dialect][pick % len(MODELS[dialect])])
    body = json.loads(built.body)
    assert faults(dialect, body) == []
    assert complaints(dialect, body) == []
