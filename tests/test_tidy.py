"""What taste would argue about, counted: lengths of files and functions, vague names, where SQL may stand."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src/afterbay").rglob("*.py"))
FILE_LINES, FILE_P90 = 600, 400
FUNCTION_LINES, FUNCTION_P90 = 60, 36


def functions() -> list[tuple[int, str]]:
    found = []
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                found.append((node.end_lineno - node.lineno + 1, f"{source.relative_to(ROOT)}:{node.lineno}"))
    return sorted(found)


def p90(rows: list[tuple[int, str]]) -> int:
    return rows[int(0.9 * (len(rows) - 1))][0]


def test_files_stay_short() -> None:
    lines = sorted((source.read_text("utf-8").count("\n"), str(source)) for source in SOURCES)
    assert lines[-1][0] <= FILE_LINES, lines[-1]
    assert p90(lines) <= FILE_P90


def test_functions_stay_short() -> None:
    rows = functions()
    assert rows[-1][0] <= FUNCTION_LINES, rows[-1]
    assert p90(rows) <= FUNCTION_P90


def test_no_module_is_named_for_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
    assert not [source for source in SOURCES if source.stem in vague]


def test_sql_stands_in_the_store_only() -> None:
    statement = re.compile(
        r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s.+\sSET|DELETE\s+FROM|CREATE\s+TABLE)\b", re.DOTALL
    )
    for source in SOURCES:
        if "store" in source.parts:
            continue
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not statement.search(node.value), f"{source}:{node.lineno}"


def test_tasks_are_made_where_an_owner_ends_them() -> None:
    owners = {"app", "http", "engine", "local", "emulate", "testing", "cli", "drill"}
    for source in SOURCES:
        text = source.read_text("utf-8")
        if "create_task(" in text or "ensure_future(" in text:
            assert source.relative_to(ROOT / "src/afterbay").parts[0] in owners, source


def test_the_public_parts_say_what_they_do() -> None:
    silent = []
    for source in SOURCES:
        tree = ast.parse(source.read_text("utf-8"))
        if not ast.get_docstring(tree) and source.stat().st_size > 0:
            silent.append(str(source))
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node not in tree.body:
                continue
            if node.name[0] != "_" and not ast.get_docstring(node):
                silent.append(f"{source}:{node.lineno} {node.name}")
    assert not silent, silent
