"""How near two regions are, told by their names alone.

A region is what an operator wrote: `eu`, `eu-west-1` (AWS), `europe-west4` (Google), `westeurope` (Azure), or a word
of the house such as `frankfurt-2`. Names are compared in three steps:

    here        the same place, a zone's letter aside (`eu-west-1b`, `europe-west4-c`); or in the same area where one
                says no more than its area: a gateway in `eu` has no reason to prefer one place in `eu` over another
    near        the same area: the first word, where it is one that the clouds or people use (`europe`, `eu`,
                `westeurope`, `swedencentral` are all `eu`), else the word itself
    far         anything else, and what has no region: only what is known to be near is near

`global` is near: such an address is served from wherever is nearest, for all that its provider says.

Nearness orders what may serve anyway. It is no statement of law: `residency` compares names letter by letter
(`policy.route`), and `uk` is near to `eu` here and nowhere else. Sources of names: the lists of regions of AWS, Google
Cloud and Azure, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, TypeAlias

Distance: TypeAlias = Literal["here", "near", "far"]

_WHOLE: Mapping[str, str] = MappingProxyType(
    {
        "eu": "eu europe eea emea",
        "us": "us usa america northamerica na",
        "sa": "sa southamerica latam",
        "ap": "ap apac asia asiapacific",
        "me": "me middleeast",
        "af": "af africa",
        "cn": "cn china",
    }
)
"""Words for a whole area."""

_PART: Mapping[str, str] = MappingProxyType(
    {
        "eu": "uk gb unitedkingdom ireland ie sweden se germany de france fr italy it spain es poland pl norway no "
        "switzerland ch netherlands nl belgium be austria at denmark dk finland fi greece gr",
        "us": "unitedstates usgov canada ca mexico mx",
        "sa": "brazil br chile cl",
        "ap": "australia au japan jp korea kr singapore sg india in indonesia malaysia taiwan hongkong newzealand nz",
        "me": "israel il uae qatar saudiarabia",
        "af": "southafrica za",
    }
)
"""Words for a part of an area, mostly countries."""

_AREAS = {word: area for table in (_WHOLE, _PART) for area, words in table.items() for word in words.split()}

_ZONE = re.compile(r"(?<=\d)-?[a-z]$")
_PARTS = re.compile(r"^(?:north|south|east|west|central)+|(?:gov[a-z]*|(?:north|south|east|west|central)*)\d*$")
"""What Azure writes around the place: `southcentralus`, `germanywestcentral`, `eastus2`, `usgovvirginia`."""


@lru_cache(maxsize=4096)
def distance(home: str, region: str | None) -> Distance:
    """How far a target's region is from the gateway's."""
    if region is None or not region.strip():
        return "far"
    place, other = place_of(home), place_of(region)
    if place == other:
        return "here"
    if other == "global":
        return "near"
    area = area_of(home)
    if area != area_of(region):
        return "far"
    return "here" if place.replace("-", "") in _WHOLE.get(area, "").split() else "near"


def place_of(region: str) -> str:
    """The region without a zone's letter, in one spelling."""
    return _ZONE.sub("", "-".join(region.casefold().replace("_", " ").replace("-", " ").split()))


@lru_cache(maxsize=1024)
def area_of(region: str) -> str:
    """The area of a region; a word that is none of the clouds' is its own."""
    place = place_of(region)
    joined = place.replace("-", "")
    first = re.match(r"[^\W\d]*", place)
    word = first.group() if first is not None else ""
    for known in (joined, word, _PARTS.sub("", joined), _PARTS.sub("", word)):
        if known in _AREAS:
            return _AREAS[known]
    return word or place
