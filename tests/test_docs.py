"""The documentation says what the code does: every endpoint, metric, error code, hint and header is written down."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from afterbay.config import schema_route
from afterbay.emulate import directives
from afterbay.emulate.profile import Profile
from afterbay.http import admin, paths
from afterbay.policy.authority import ROLES
from afterbay.policy.rights import Preference
from afterbay.policy.rights_form import RightsForm
from afterbay.telemetry.metrics import Metrics, names
from afterbay.wire.openai_chat.request import HINTS
from afterbay.wire.registry import DIALECTS

ROOT = Path(__file__).parent.parent
HTTP = (ROOT / "docs/http.md").read_text("utf-8")
SOURCES = sorted((ROOT / "src/afterbay").rglob("*.py"))
CLIENT_FACING = ("core", "policy", "wire", "engine", "http", "app")


def test_every_endpoint_is_documented() -> None:
    for path in (*paths._EXACT, *paths._NOT_BUILT):
        assert f"`{path}" in HTTP or path in HTTP, path


def test_the_admin_api_is_documented() -> None:
    keys = (ROOT / "docs/keys.md").read_text("utf-8")
    for what in admin.RESOURCES:
        assert f"`{paths.ADMIN_PREFIX}{what}`" in HTTP, what
    for struct in (admin._NewKey, admin._NewTenant, admin._KeyChange, admin._Rotation, RightsForm, Preference):
        for field in struct.__struct_fields__:
            assert f"`{field}`" in keys, field
    for role in ROLES:
        assert f"| `{role}` |" in keys, role


def test_every_metric_is_documented() -> None:
    for name in names(Metrics(process=False)):
        assert f"`{name}" in HTTP, name


def test_every_hint_and_every_feature_that_a_protocol_lacks_is_documented() -> None:
    for hint in HINTS:
        assert f"`{hint}`" in HTTP, hint
    for dialect in DIALECTS.values():
        row = next(line for line in HTTP.splitlines() if line.startswith(f"| {dialect.name} "))
        assert set(re.findall(r"`(\w+)`", row)) == set(dialect.cannot), dialect.name


def test_every_error_code_that_a_client_can_see_is_documented() -> None:
    for source in SOURCES:
        if source.relative_to(ROOT / "src/afterbay").parts[0] not in CLIENT_FACING:
            continue
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            is_code = isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant)
            if is_code and isinstance(node.value.value, str):
                assert f"`{node.value.value}`" in HTTP, f"{node.value.value} in {source.name}"


def test_every_header_that_the_gateway_sends_or_reads_is_documented() -> None:
    for source in SOURCES:
        if source.relative_to(ROOT / "src/afterbay").parts[0] not in ("engine", "http"):
            continue
        for header in re.findall(r'"(x-afterbay-[a-z-]+)"', source.read_text("utf-8")):
            assert f"`{header}`" in HTTP, f"{header} in {source.name}"


def test_keys_that_are_not_built_exist_in_the_schema() -> None:
    fields = set(schema_route.RouteConfig.__struct_fields__)
    assert set(schema_route.NOT_BUILT) <= fields


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    here = ROOT / page
    for target in re.findall(r"\]\(([^)#:]+)\)", here.read_text("utf-8")):
        assert (here.parent / target).exists(), f"{page} -> {target}"


def test_every_order_to_the_emulator_is_told_of() -> None:
    text = (ROOT / "docs/emulator.md").read_text("utf-8")
    orders = [line.strip() for line in (directives.__doc__ or "").splitlines() if line.startswith("    [[")]
    assert len(orders) > 20
    assert [line for line in orders if line not in text] == []
    assert [name for name in Profile.__struct_fields__ if name not in text] == []
