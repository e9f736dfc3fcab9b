"""Kinds of values that sections of the configuration share, and what all sections have in common."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec


class Seconds(float):
    """A duration: `250ms`, `5s`, `2m`, `1h`, `30d`, or a plain number of seconds."""


# Bounds stand on the number itself: msgspec refuses them on a union with None.
Count: TypeAlias = Annotated[int, msgspec.Meta(gt=0)]
AtMostOnce: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1)]
OneOrTwo: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2)]
Factor: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
SomeShare: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=1)]
Confidence: TypeAlias = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Ratio: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
Several: TypeAlias = Annotated[int, msgspec.Meta(ge=2, le=16)]
Speed: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
TokenCount: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,8}$")]
Dollars: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Common ground of all sections: unknown keys are errors."""
