"""JSON, tool calls and code are held against their form; nothing is executed."""

from __future__ import annotations

import sys

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.policy.checks.form import balanced, blocks, call_problem, code_problem, json_problem

SCHEMA = b'{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}'


@pytest.mark.parametrize(
    ("text", "schema", "problem"),
    [
        ('{"n": 1}', SCHEMA, None),
        ("[1]", None, None),
        ('{"n": "1"}', SCHEMA, "it does not fit the schema"),
        ("here: {}", None, "it is not JSON"),
        ("\ud800", None, "it is not JSON"),
        ('{"n": "x"}', b'{"type": 7}', None),
    ],
)
def test_json_is_held_against_its_schema(text: str, schema: bytes | None, problem: str | None) -> None:
    assert json_problem(text, schema) == problem


@pytest.mark.parametrize(
    ("schema", "arguments", "problem"),
    [
        (SCHEMA, '{"n": 1}', None),
        (b"{}", "", None),
        (None, "{}", "it calls a tool that is not there"),
        (SCHEMA, "{", "the arguments of a call are not JSON"),
        (SCHEMA, "[]", "the arguments of a call are no object"),
        (SCHEMA, "{}", "the arguments of a call do not fit the tool's schema"),
    ],
)
def test_a_call_is_held_against_its_tool(schema: bytes | None, arguments: str, problem: str | None) -> None:
    assert call_problem(schema, arguments) == problem


def fenced(language: str, code: str) -> str:
    return f"Here:\n```{language}\n{code}\n```\nDone."


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "def f(x):\n    return x + 1"),
        ("python", "    indented = 1\n    more = 2"),
        ("python", ">>> f(1\n2"),
        ("python", "def f(x:\n    <your code here>"),
        ("python", "pip = '\\d'"),
        ("json", '{"a": [1]}'),
        ("js", 'f(`(${x}`); // (\n/* ( */ g(\')\', "\\")")'),
        ("go", 'func main() { fmt.Println("(") }'),
        ("bash", "if [ ( ; then"),
        ("", "def f(:"),
        ("java", "class A { /* never closed"),
    ],
)
def test_code_that_may_be_right_passes(language: str, code: str) -> None:
    if language == "java":
        assert code_problem(fenced(language, code)) is not None, "its bracket is open"
    else:
        assert code_problem(fenced(language, code)) is None


@pytest.mark.parametrize(
    ("language", "code", "problem"),
    [
        ("python", "def f(x)\n    return x", "its Python does not parse"),
        ("py", "print 'hello'", "its Python does not parse"),
        ("json", "{a: 1}", "its JSON does not parse"),
        ("js", "f(1]", "its js has brackets that do not match"),
        ("c++", "int main() {", "its c++ has brackets that do not match"),
    ],
)
def test_code_that_cannot_be_right_is_found(language: str, code: str, problem: str) -> None:
    assert code_problem(fenced(language, code)) == problem


def test_nothing_of_it_is_executed() -> None:
    before = set(sys.modules)
    assert code_problem(fenced("python", "import this_module_is_not_there\nraise SystemExit")) is None
    assert "this_module_is_not_there" not in set(sys.modules) - before


def test_code_too_long_or_too_deep_is_not_held_against_it() -> None:
    assert code_problem(fenced("python", "x = (" * 9000)) is None
    assert code_problem(fenced("python", "1+" * 9000 + "1")) is None
    assert code_problem(fenced("python", "(" * 150 + ")" * 150)) is None


def test_blocks_are_told_apart_and_the_last_may_lack_its_end() -> None:
    text = "```python\na\n```\n~~~js\n```\n~~~\n````\n```\n````\n```json\n{}"
    assert blocks(text) == [("python", "a"), ("js", "```"), ("", "```"), ("json", "{}")]
    assert len(blocks("```\n```\n" * 100)) == 20
    assert blocks("`code`") == []


def test_an_apostrophe_is_no_string() -> None:
    assert balanced("it's ( fine )")
    assert not balanced("it's ( not")
    assert balanced("'(' and \"[\" and `{\n`")


@given(st.text(alphabet="`~()[]{}'\"\\/*\n pythonjs:=<>.", max_size=300))
def test_no_text_makes_it_fail(text: str) -> None:
    code_problem(text)
    code_problem("```python\n" + text)
    code_problem("```js\n" + text)
