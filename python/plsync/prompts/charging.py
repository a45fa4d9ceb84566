"""Charges the work of a jinja2 template to a budget, because jinja2 itself bounds neither time nor memory."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from jinja2 import nodes, pass_context
from jinja2.runtime import Undefined
from jinja2.visitor import NodeTransformer

from plsync.errors import PromptError
from plsync.prompts.limits import LARGEST_NUMBER, STEP, Budget

__all__ = [
    "CHARGES",
    "GROWING",
    "budget_in_use",
    "charge_growth",
    "charge_product",
    "charged_output",
    "charging_filter",
    "check_percent",
    "is_small_power",
    "with_charges",
]

N = TypeVar("N", bound=nodes.Node)

_LARGEST_ARGUMENT: Final = 100_000
_MOST_BITS: Final = 4096

budget_in_use: ContextVar[Budget] = ContextVar("budget_in_use")
"""The budget of the template that is filled in."""

# Names that no template can spell.
_ITEMS, _STEP, _CHARGED, _JOINED = "each item", "one step", "charged value", "joined texts"

# Filters and methods whose result may be longer than their input.
GROWING: Final = frozenset({
    "batch", "center", "indent", "join", "ljust", "replace", "rjust", "round", "slice", "tojson", "zfill",
})  # fmt: skip


def with_charges(template: nodes.Template) -> nodes.Template:
    """A parsed template whose loops, calls and values spend the budget.

    Raises:
        PromptError: a tag reads another template.
    """
    charging: nodes.Template = _Charging().visit(template)
    return charging


class _Charging(NodeTransformer):
    """Adds the charges to a parsed template, and refuses tags that read other templates."""

    def generic_visit(self, node: N, *args: Any, **kwargs: Any) -> N:
        if isinstance(node, (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport, nodes.Block)):
            raise PromptError(f"the tag {{% {type(node).__name__.lower()} %}} is not available")
        return super().generic_visit(node, *args, **kwargs)  # type: ignore[return-value]

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:
        # jinja2 outputs template data without `finalize`, also a million times in a loop.
        return nodes.Const(node.data, lineno=node.lineno)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        test = 1 if node.test is None else 1 + _count([node.test])
        body = _count(node.body)
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _ITEMS, test)
        node.body = [_step_of(body, node), *node.body]
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        return self._with_step(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        return self._with_step(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), _JOINED)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _filtered(node.expr, _CHARGED)
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, _CHARGED)
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Node:
        self.generic_visit(node)
        node.node = _filtered(node.node, _CHARGED)
        node.args = [_filtered(each, _CHARGED) for each in node.args or []]
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, _CHARGED) if isinstance(node.arg, nodes.Slice) else node

    def _with_step(self, node: nodes.Macro | nodes.CallBlock) -> nodes.Node:
        size = _count(node.body)
        self.generic_visit(node)
        node.body = [_step_of(size, node), *node.body]
        return node


def _count(parts: list[Any]) -> int:
    return sum(1 + _count(list(part.iter_child_nodes())) for part in parts)


def _filtered(node: Any, name: str, *arguments: int) -> nodes.Filter:
    constants = [nodes.Const(each, lineno=node.lineno) for each in arguments]
    return nodes.Filter(node, name, constants, [], None, None, lineno=node.lineno)


def _step_of(size: int, node: nodes.Node) -> nodes.Output:
    return nodes.Output([_filtered(nodes.Const("", lineno=node.lineno), _STEP, size)], lineno=node.lineno)


@pass_context
def charged_output(_context: Any, value: Any) -> Any:
    """Spend the size of a value that a template outputs."""
    if not isinstance(value, Undefined):
        budget_in_use.get().size(value)
    return value


def _items(value: Any, work: int) -> Iterator[Any]:
    budget = budget_in_use.get()
    for item in value:
        budget.spend(STEP * work)
        yield item


def _step(value: str, work: int) -> str:
    budget_in_use.get().spend(STEP * work)
    return value


def _charged(value: Any) -> Any:
    budget_in_use.get().size(value)
    return value


def _joined(values: list[Any]) -> str:
    budget = budget_in_use.get()
    for value in values:
        budget.size(value)
    return "".join(map(str, values))


def charging_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that spends the sizes of its arguments, and of its possible result."""
    # jinja2 passes the environment or the context first, and marks functions that need them.
    leading = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def charging(*args: Any, **kwargs: Any) -> Any:
        budget = budget_in_use.get()
        value, *rest = args[leading:]
        size = budget.size(value)
        others = [*rest, *kwargs.values()]
        sizes = [budget.size(each) for each in others]
        if name in GROWING:
            charge_growth(size, others, sizes, budget)
        elif name == "format":
            check_percent(str(value))
        elif name == "sum" and any(isinstance(each, (list, tuple, dict)) for each in others):
            raise PromptError("the filter 'sum' of a prompt template adds numbers only")
        return function(*args, **kwargs)

    return charging


def charge_growth(size: int, arguments: list[Any], sizes: list[int], budget: Budget) -> None:
    """Spend the size that the result of a filter or method may have."""
    numbers = [abs(each) for each in arguments if isinstance(each, int)]
    if any(number > _LARGEST_ARGUMENT for number in numbers):
        raise PromptError(f"the prompt template passes a number above {_LARGEST_ARGUMENT:,} to a filter or method")
    budget.spend((size + 1) * (1 + sum(sizes) + sum(numbers)))


def charge_product(left: Any, right: Any, sizes: tuple[int, int], budget: Budget) -> None:
    """Spend the size of a repeated text or list, and refuse a number of too many digits."""
    for repeated, times, size in ((left, right, sizes[0]), (right, left, sizes[1])):
        if isinstance(repeated, (str, list, tuple)) and isinstance(times, int):
            budget.spend(size * max(times, 0))
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > _MOST_BITS:
        raise PromptError("the prompt template computes a number that is too large")


def is_small_power(base: int, exponent: Any) -> bool:
    """Whether a power has few digits."""
    return isinstance(exponent, (int, float)) and not abs(base).bit_length() * abs(exponent) > _MOST_BITS


def check_percent(text: str) -> None:
    """Check the widths of a text with ``%`` formats."""
    for form in re.findall(r"%[^a-zA-Z%]*", text):
        if "*" in form or any(len(n) > 4 or int(n) > LARGEST_NUMBER for n in re.findall(r"[0-9]+", form)):
            raise PromptError(f"the prompt template has a format with a width above {LARGEST_NUMBER}: {form[:40]!r}")


CHARGES: Final[dict[str, Callable[..., Any]]] = {_ITEMS: _items, _STEP: _step, _CHARGED: _charged, _JOINED: _joined}
"""The filters that ``with_charges`` adds to a template."""
