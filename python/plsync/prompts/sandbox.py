"""Fills in jinja2 templates. A template comes from the workspace, so anyone who edits it there writes code for here.

jinja2's sandbox hides private attributes. The sandbox here also

- hands over plain values only, and allows a list of their methods;
- charges the work of each step to a budget, because jinja2 itself bounds neither time nor memory.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from jinja2 import StrictUndefined, meta, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from plsync.errors import PromptError
from plsync.prompts.limits import LARGEST_NUMBER, STEP, Budget, check_format, fill_in, plain_value

__all__ = ["render", "variables"]

N = TypeVar("N", bound=nodes.Node)

_LONGEST: Final = 1_000_000
_MOST_TAGS: Final = 20_000
_LONGEST_RANGE: Final = 100_000
_LARGEST_ARGUMENT: Final = 100_000
_MOST_BITS: Final = 4096

_budget: ContextVar[Budget] = ContextVar("budget")

# Names that no template can spell.
_ITEMS, _STEP, _CHARGED, _JOINED = "each item", "one step", "charged value", "joined texts"

_TEXT_METHODS: Final = frozenset({
    "capitalize", "casefold", "center", "count", "endswith", "find", "format", "index", "isalnum", "isalpha",
    "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join", "ljust", "lower",
    "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition",
    "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper", "zfill",
})  # fmt: skip
_METHODS: Final[dict[type, frozenset[str]]] = {
    str: _TEXT_METHODS,
    dict: frozenset({"get", "items", "keys", "values"}),
    list: frozenset({"count", "index"}),
    tuple: frozenset({"count", "index"}),
}
_LOOP: Final = frozenset({
    "changed", "cycle", "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem", "previtem",
    "revindex", "revindex0",
})  # fmt: skip
_ATTRIBUTES: Final[dict[type, frozenset[str]]] = {
    LoopContext: _LOOP,
    Cycler: frozenset({"current", "next", "reset"}),
}

# Left out: filters that reach attributes, make HTML, or take more time than the length of a text.
_FILTERS: Final = frozenset({
    "abs", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape", "filesizeformat",
    "first", "float", "forceescape", "format", "groupby", "indent", "int", "items", "join", "last", "length", "list",
    "lower", "map", "max", "min", "random", "reject", "rejectattr", "replace", "reverse", "round", "safe", "select",
    "selectattr", "slice", "sort", "string", "sum", "title", "tojson", "trim", "truncate", "unique", "upper",
    "urlencode", "wordcount",
})  # fmt: skip
# Filters and methods whose result may be longer than their input.
_GROWING: Final = frozenset({
    "batch", "center", "indent", "join", "ljust", "replace", "rjust", "round", "slice", "tojson", "zfill",
})  # fmt: skip


class _Method:
    """A method of a plain value, which only a call can use."""

    __slots__ = ("name", "value")

    def __init__(self, value: Any, name: str) -> None:
        self.value = value
        self.name = name


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        # jinja2 calls constant filters and operators while it compiles. A `finalize` that takes the context, and no
        # optimizer, move them to the time when the budget holds.
        super().__init__(optimized=False, finalize=_charged_output)
        self.filters = {name: _charging_filter(name, FILTERS[name]) for name in _FILTERS & set(FILTERS)}
        self.filters |= {_ITEMS: _items, _STEP: _step, _CHARGED: _charged, _JOINED: _joined}
        self.globals = dict(_FUNCTIONS)

    def getattr(self, obj: Any, attribute: str) -> Any:
        kind = type(obj)
        if attribute in _METHODS.get(kind, ()):
            return _Method(obj, attribute)
        if kind is dict and attribute in obj:
            return obj[attribute]
        if attribute in _ATTRIBUTES.get(kind, ()) or (kind is Namespace and not attribute.startswith("_")):
            return getattr(obj, attribute, self.undefined(obj=obj, name=attribute))
        if isinstance(obj, Undefined):
            return obj[attribute]
        if kind is dict and not attribute.startswith("_"):
            return self.undefined(obj=obj, name=attribute)
        return StrictUndefined(
            f"the attribute {attribute!r} of a value of the type {kind.__name__!r} is unsafe, so a template cannot "
            "reach it: pass a dict",
            exc=SecurityError,
        )

    def getitem(self, obj: Any, argument: Any) -> Any:
        if type(obj) in {str, list, tuple, dict, range}:
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        if isinstance(argument, str):
            return self.getattr(obj, argument)
        return self.undefined(obj=obj, name=argument)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        budget = _budget.get()
        budget.spend(STEP)
        if type(__obj) is _Method:
            # jinja2 adds the variables of loops and blocks, for functions that take the context.
            kwargs = {name: each for name, each in kwargs.items() if name not in {"_loop_vars", "_block_vars"}}
            return _call_method(__obj, args, kwargs, budget)
        for each in (*args, *kwargs.values()):
            budget.size(each)
        is_bound = type(getattr(__obj, "__self__", None)) in _ATTRIBUTES
        if (
            is_bound
            or type(__obj) in {Macro, LoopContext, Joiner}
            or any(__obj is each for each in _FUNCTIONS.values())
        ):
            return __context.call(__obj, *args, **kwargs)
        if isinstance(__obj, Undefined):
            return __obj()
        raise SecurityError(f"a template cannot call a value of the type {type(__obj).__name__!r}: it is unsafe")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        budget = _budget.get()
        sizes = budget.size(left), budget.size(right)
        if operator == "%" and isinstance(left, str):
            _check_percent(left)
        elif operator == "*":
            _charge_product(left, right, sizes, budget)
        elif operator == "**" and isinstance(left, int) and not _is_small_power(left, right):
            raise PromptError("the prompt template computes a power that is too large")
        result = super().call_binop(context, operator, left, right)
        budget.size(result)
        return result


def variables(source: str) -> list[str]:
    """Compile a template, and return the names of its variables in order.

    Raises:
        PromptError: it is too long, or has a tag that is not available.
        jinja2.TemplateError: it cannot be parsed, or names an unknown filter.
    """
    _, tree = _compiled(source)
    return sorted(meta.find_undeclared_variables(tree))


def render(source: str, values: dict[str, Any]) -> str:
    """Fill in a template.

    Args:
        source: the template.
        values: the values by name. The template gets plain copies of them.

    Raises:
        PromptError: filling in takes too much time or memory.
        jinja2.TemplateError: the template reaches for something that is missing or unsafe.
    """
    template, _ = _compiled(source)
    budget = Budget()
    token = _budget.set(budget)
    try:
        return str(template.render({name: plain_value(value, budget) for name, value in values.items()}))
    except (RecursionError, MemoryError, OverflowError) as error:
        raise PromptError(f"the prompt template could not be filled in: {type(error).__name__}") from error
    finally:
        _budget.reset(token)


@functools.lru_cache(maxsize=256)
def _compiled(source: str) -> tuple[Any, nodes.Template]:
    if len(source) > _LONGEST or source.count("{{") + source.count("{%") + source.count("{#") > _MOST_TAGS:
        raise PromptError(f"the template has more than {_LONGEST:,} characters or {_MOST_TAGS:,} tags")
    tree = _Charging().visit(_environment().parse(source))
    return _environment().from_string(tree), tree


@functools.cache
def _environment() -> _Environment:
    return _Environment()


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
def _charged_output(_context: Any, value: Any) -> Any:
    if not isinstance(value, Undefined):
        _budget.get().size(value)
    return value


def _items(value: Any, work: int) -> Iterator[Any]:
    budget = _budget.get()
    for item in value:
        budget.spend(STEP * work)
        yield item


def _step(value: str, work: int) -> str:
    _budget.get().spend(STEP * work)
    return value


def _charged(value: Any) -> Any:
    _budget.get().size(value)
    return value


def _joined(values: list[Any]) -> str:
    budget = _budget.get()
    for value in values:
        budget.size(value)
    return "".join(map(str, values))


def _range(*arguments: int) -> range:
    made = range(*arguments)
    if len(made) > _LONGEST_RANGE:
        raise PromptError(f"the prompt template makes a range of more than {_LONGEST_RANGE:,} numbers")
    return made


_FUNCTIONS: Final[dict[str, Any]] = {
    "cycler": Cycler,
    "dict": dict,
    "joiner": Joiner,
    "namespace": Namespace,
    "range": _range,
}


def _charging_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    # jinja2 passes the environment or the context first, and marks functions that need them.
    leading = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def charging(*args: Any, **kwargs: Any) -> Any:
        budget = _budget.get()
        value, *rest = args[leading:]
        size = budget.size(value)
        others = [*rest, *kwargs.values()]
        sizes = [budget.size(each) for each in others]
        if name in _GROWING:
            _charge_growth(size, others, sizes, budget)
        elif name == "format":
            _check_percent(str(value))
        elif name == "sum" and any(isinstance(each, (list, tuple, dict)) for each in others):
            raise PromptError("the filter 'sum' of a prompt template adds numbers only")
        return function(*args, **kwargs)

    return charging


def _charge_growth(size: int, arguments: list[Any], sizes: list[int], budget: Budget) -> None:
    """Spend the size that the result of a filter or method may have."""
    numbers = [abs(each) for each in arguments if isinstance(each, int)]
    if any(number > _LARGEST_ARGUMENT for number in numbers):
        raise PromptError(f"the prompt template passes a number above {_LARGEST_ARGUMENT:,} to a filter or method")
    budget.spend((size + 1) * (1 + sum(sizes) + sum(numbers)))


def _charge_product(left: Any, right: Any, sizes: tuple[int, int], budget: Budget) -> None:
    for repeated, times, size in ((left, right, sizes[0]), (right, left, sizes[1])):
        if isinstance(repeated, (str, list, tuple)) and isinstance(times, int):
            budget.spend(size * max(times, 0))
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > _MOST_BITS:
        raise PromptError("the prompt template computes a number that is too large")


def _is_small_power(base: int, exponent: Any) -> bool:
    return isinstance(exponent, (int, float)) and not abs(base).bit_length() * abs(exponent) > _MOST_BITS


def _check_percent(text: str) -> None:
    """Check the widths of a text with ``%`` formats."""
    for form in re.findall(r"%[^a-zA-Z%]*", text):
        if "*" in form or any(len(n) > 4 or int(n) > LARGEST_NUMBER for n in re.findall(r"[0-9]+", form)):
            raise PromptError(f"the prompt template has a format with a width above {LARGEST_NUMBER}: {form[:40]!r}")


def _call_method(method: _Method, args: tuple[Any, ...], kwargs: dict[str, Any], budget: Budget) -> Any:
    size = budget.size(method.value)
    arguments = [*args, *kwargs.values()]
    sizes = [budget.size(each) for each in arguments]
    if method.name == "format":
        try:
            check_format(method.value)
        except ValueError as error:
            raise SecurityError(f"a format of the template is unsafe: {error}") from error
        return fill_in(method.value, args, kwargs, budget)
    if method.name in _GROWING:
        _charge_growth(size, arguments, sizes, budget)
    result = getattr(method.value, method.name)(*args, **kwargs)
    return list(result) if type(method.value) is dict and method.name != "get" else result
