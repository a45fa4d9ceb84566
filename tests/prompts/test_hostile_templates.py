"""A template reaches plain values only, and takes a bounded time and memory."""

from __future__ import annotations

import copy
import datetime
import enum
import pickle
import resource
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import SecurityError, TemplateError
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

from plsync.errors import PromptError
from plsync.prompts.to_langchain import to_langchain
from tests.support.forks import exit_code, forked
from tests.support.hostile_templates import REACHING_TEMPLATES, SLOW_TEMPLATES, VARIABLES

KB, MB = 1 << 10, 1 << 20


def converted(text: str, form: str = "jinja2") -> PromptTemplate:
    content = [{"type": "text", "text": text}]
    prompt = {"type": "completion", "content": content, "template_format": form}
    made = to_langchain({"prompt_name": "example", "version": 1, "prompt_template": prompt})
    assert isinstance(made, PromptTemplate)
    return made


def filled(template: str, **variables: Any) -> str:
    return converted(template).format(**variables)


class Client:
    """An object with a secret and a dangerous method."""

    api_key = "sk-secret"

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def delete_all(self) -> str:
        self.deleted.append("all")
        return "deleted"

    def __str__(self) -> str:
        return "a client"

    def __call__(self) -> str:
        return self.delete_all()

    def __getitem__(self, name: str) -> str:
        return self.delete_all()


@pytest.mark.parametrize("text", REACHING_TEMPLATES)
def test_a_jinja2_template_reaches_no_attribute_and_no_method_of_an_object(text: str) -> None:
    client = Client()
    try:
        shown = filled(text, x=client)
    except (PromptError, TemplateError, TypeError, KeyError, ValueError):
        shown = ""
    assert client.deleted == []
    assert "secret" not in shown
    assert "<class" not in shown


def test_files_cannot_be_read_written_or_removed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    for call in ("read_text()", "unlink()", "write_text('gone')", "parent", "with_name('other').touch()"):
        with pytest.raises(SecurityError, match="pass a dict"):
            filled("{{ path." + call + " }}", path=file)
        with pytest.raises((TemplateError, TypeError)):
            filled("{{ (path / 'x')." + call + " }}", path=file)
    assert file.read_text() == "kept"
    assert filled("{{ path }}", path=file) == str(file)


@pytest.mark.parametrize(
    "tag", ["include 'a'", "import 'a' as b", "extends 'a'", "from 'a' import b", "block a %}{% endblock"]
)
def test_tags_that_name_other_templates_are_refused(tag: str) -> None:
    with pytest.raises(PromptError, match="is not available"):
        converted("{% " + tag + " %}")


@pytest.mark.parametrize("text", SLOW_TEMPLATES, ids=range(len(SLOW_TEMPLATES)))
def test_a_template_takes_a_bounded_time_and_little_memory(text: str) -> None:
    assert exit_code(forked(partial(fill_within_limits, text))) == 0


def fill_within_limits(text: str) -> None:
    filled("{{ long|upper }}", **VARIABLES)  # with the modules that every template imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "linux":
        size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + 600 * MB, size + 600 * MB))
    begun = time.process_time()
    with pytest.raises((PromptError, TemplateError)) as raised:
        filled(text, **VARIABLES)
    assert time.process_time() - begun < 10
    assert "MemoryError" not in str(raised.value)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert sys.platform != "linux" or grown < 300 * KB


@pytest.mark.parametrize(
    "text",
    [
        "{x!r:>2000000000}",
        "{x:2000000000}",
        "{x:.2000000000f}",
        "{x:0002000}",
        "{d:{x.token}}",
        "{d:{x}}",
        "{x.token}",
        "{x[token]}",
        "{x[0]}",
        "{0}",
        "{}",
        "{x!z}",
        "{x!r.a}",
    ],
)
def test_an_f_string_has_names_and_small_formats_only(text: str) -> None:
    with pytest.raises(PromptError, match="cannot be a LangChain template"):
        converted(text, "f-string")


def test_an_f_string_of_many_fields_is_bounded() -> None:
    template = converted("{x}" * 10_000, "f-string")
    with pytest.raises(PromptError, match="not filled in"):
        template.format(x="a" * 100_000)


@pytest.mark.parametrize("variable", ["x.api_key", "x[0]", "d:{x.api_key}", "x!r:>2000000000", "x}{y"])
def test_the_variable_of_an_image_is_a_name(variable: str) -> None:
    image = {"type": "image_url", "image_url": {"url": ""}, "image_variable": variable}
    prompt = {"type": "chat", "messages": [{"role": "user", "content": [image]}]}
    with pytest.raises(PromptError, match="not the name of a variable"):
        to_langchain({"prompt_name": "a", "version": 1, "prompt_template": prompt})


@dataclass
class Person:
    """A class of the program."""

    name: str


class Mood(str, enum.Enum):
    """A text with a class of the program."""

    GOOD = "good"


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        (
            "{% for one in many %}{{ loop.index }}. {{ one }}{{ ', ' if not loop.last }}{% endfor %}",
            {"many": "ab"},
            "1. a, 2. b",
        ),
        ("{% if a and b is defined %}yes{% elif c %}no{% else %}-{% endif %}", {"a": 1, "b": 0}, "yes"),
        ("{{ name|upper }} {{ name|default('x') }} {{ missing|default('x') }}", {"name": "bo"}, "BO bo x"),
        ("{{ user.name }} {{ user['age'] + 1 }} {{ user.missing }}", {"user": {"name": "Bo", "age": 3}}, "Bo 4 "),
        ("{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", {"d": {"a": 1, "b": [2]}}, "a=1;b=[2];"),
        (
            "{{ items|join(', ') }} {{ items|length }} {{ items[0] }} {{ items[-1:] }}",
            {"items": ["x", "y"]},
            "x, y 2 x ['y']",
        ),
        ("{{ text.strip().upper() }} {{ text.split(',')|map('trim')|list }}", {"text": " a, b"}, "A, B ['a', 'b']"),
        ("{{ d|tojson }} {{ d|tojson(indent=1) }}", {"d": {"a": 1}}, '{"a": 1} {\n "a": 1\n}'),
        (
            "{{ '%.2f'|format(price) }} {{ '%s-%d' % ('a', 2) }} {{ '{:,}'.format(n) }}",
            {"price": 1.5, "n": 1000},
            "1.50 a-2 1,000",
        ),
        (
            "{{ xs|selectattr('ok')|map(attribute='n')|sum }}",
            {"xs": [{"ok": True, "n": 2}, {"ok": False, "n": 9}]},
            "2",
        ),
        (
            "{% set ns = namespace(n=0) %}{% for x in xs %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}",
            {"xs": [1, 2]},
            "3",
        ),
        (
            "{% macro b(x) %}<{{ x }}{{ caller() if caller }}>{% endmacro %}{{ b(1) }}{% call b(2) %}!{% endcall %}",
            {},
            "<1><2!>",
        ),
        (
            "{%- for n in tree recursive -%}{{ n.v }}{{ loop(n.kids) if n.kids }}{%- endfor -%}",
            {"tree": [{"v": 1, "kids": [{"v": 2}]}]},
            "12",
        ),
        ("{% raw %}{{ x }}{% endraw %}{# no #}", {}, "{{ x }}"),
        (
            "{% set greeting %}Hi {{ name }}{% endset %}{{ greeting|trim }} {{ 'a' ~ 1 ~ none }}",
            {"name": "Bo"},
            "Hi Bo a1None",
        ),
        (
            "{{ range(3)|list }} {{ 2 ** 10 }} {{ 7 // 2 }} {{ 7 % 4 }} {{ -1 }} {{ 'ab' * 2 }}",
            {},
            "[0, 1, 2] 1024 3 3 -1 abab",
        ),
        (
            "{{ text|replace('\n', ' ')|truncate(9) }}|{{ text|indent(2) }}",
            {"text": "one\ntwo three"},
            "one two three|one\n  two three",
        ),
        (
            "{{ person }} {{ mood }} {{ path }} {{ when }}",
            {"person": Person("Bo"), "mood": Mood.GOOD, "path": Path("a"), "when": datetime.date(2026, 1, 2)},
            "Person(name='Bo') good a 2026-01-02",
        ),
        (
            "{{ price + 1 }} {{ pair[1] }} {{ unique|sort }} {{ dict(a=1).a }}",
            {"price": Decimal("1.5"), "pair": (1, 2), "unique": {3}},
            "2.5 2 [3] 1",
        ),
        (
            "{{ xs|first }} {{ xs|groupby('k')|length }} {{ cycler('a', 'b').next() }}",
            {"xs": [{"k": 1}, {"k": 1}]},
            "{'k': 1} 1 a",
        ),
    ],
)
def test_honest_jinja2_templates_work(text: str, variables: dict[str, Any], expected: str) -> None:
    assert filled(text, **variables) == expected


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("{x}", "a", "a"),
        ("{x!r}", "a", "'a'"),
        ("{x:>5}|", "a", "    a|"),
        ("{x:.2f}", 1.005, "1.00"),
        ("{x:,}", 1234567, "1,234,567"),
        ("{x:.1f}", Decimal("2.25"), "2.2"),
        ("{x:%Y-%m-%d}", datetime.datetime(2026, 1, 2), "2026-01-02"),
        ("{x}", [1, {"a": None}], "[1, {'a': None}]"),
        ("{x}", Person("Bo"), "Person(name='Bo')"),
        ("{{{x}}}", True, "{True}"),
    ],
)
def test_honest_f_strings_work(text: str, value: Any, expected: str) -> None:
    assert converted(text, "f-string").format(x=value) == expected


@given(st.text(st.characters(exclude_characters="{}"), max_size=50), st.text(max_size=50))
def test_a_text_is_filled_in_as_python_does(text: str, value: str) -> None:
    assert converted(f"{text}{{x}}", "f-string").format(x=value) == f"{text}{value}"


def test_a_message_history_is_kept_as_messages() -> None:
    prompt = {
        "type": "chat",
        "messages": [
            {"role": "placeholder", "name": "history"},
            {"role": "user", "content": [{"type": "text", "text": "{{ q|upper }}"}], "template_format": "jinja2"},
        ],
    }
    made = to_langchain({"prompt_name": "a", "version": 1, "prompt_template": prompt})
    assert isinstance(made, ChatPromptTemplate)
    history = [HumanMessage("hi"), AIMessage("hello", tool_calls=[{"name": "f", "args": {}, "id": "1"}])]
    assert made.format_messages(history=history, q="why?") == [*history, HumanMessage("WHY?")]


def test_the_limits_stay_in_every_template_made_from_one() -> None:
    hostile = converted("{{ x.api_key }}")
    plain = PromptTemplate.from_template(" and more", template_format="jinja2")
    for made in (
        hostile + " and more",
        hostile + plain,
        plain + hostile,
        hostile + hostile,
        hostile.partial(y="1"),
        copy.deepcopy(hostile),
        pickle.loads(pickle.dumps(hostile)),  # noqa: S301 - this test's own bytes
        hostile.model_copy(),
    ):
        with pytest.raises(SecurityError):
            made.format(x=Client())
    assert (converted("{x}", "f-string") + "{y}").format(x=1, y=2) == "12"
    assert dumpd(hostile)["id"] == ["langchain", "prompts", "prompt", "PromptTemplate"]


async def test_the_limits_hold_for_asynchronous_calls() -> None:
    with pytest.raises(SecurityError):
        await converted("{{ x.api_key }}").ainvoke({"x": SimpleNamespace(api_key="sk-secret")})


@pytest.mark.parametrize(
    "text", ["{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{{ " + "-" * 5000 + "1 }}", "{% if a %}" * 400]
)
def test_a_template_that_is_nested_too_deep_is_an_error(text: str) -> None:
    with pytest.raises(PromptError, match="cannot be a LangChain template"):
        converted(text)


def test_a_template_that_is_too_long_is_an_error() -> None:
    for text in ("x" * 1_000_001, "{{ a }}" * 20_001):
        with pytest.raises(PromptError, match=r"1,000,000 characters or 20,000 tags"):
            converted(text)
