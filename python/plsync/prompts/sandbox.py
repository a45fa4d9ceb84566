"""Fills in jinja2 templates. A template comes from the workspace, so anyone who edits it there writes code for here.

jinja2's sandbox hides private attributes. The sandbox here also

- hands over plain values only, and allows a list of their methods;
- charges the work of each step to a budget, because jinja2 itself bounds neither time nor memory.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from jinja2 import StrictUndefined, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace

from plsync.errors import PromptError
from plsync.prompts.charging import (
    CHARGES,
    GROWING,
    budget_in_use,
    charge_growth,
    charge_product,
    charged_output,
    charging_filter,
    check_percent,
    is_small_power,
    with_charges,
)
from plsync.prompts.limits import STEP, Budget, check_format, fill_in, plain_value

__all__ = ["render", "variables"]

_LONGEST: Final = 1_000_000
_MOST_TAGS: Final = 20_000
_LONGEST_RANGE: Final = 100_000
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
        super().__init__(optimized=False, finalize=charged_output)
        self.filters = {name: charging_filter(name, FILTERS[name]) for name in _FILTERS & set(FILTERS)}
        self.filters |= CHARGES
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
        budget = budget_in_use.get()
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
        budget = budget_in_use.get()
        sizes = budget.size(left), budget.size(right)
        if operator == "%" and isinstance(left, str):
            check_percent(left)
        elif operator == "*":
            charge_product(left, right, sizes, budget)
        elif operator == "**" and isinstance(left, int) and not is_small_power(left, right):
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
    token = budget_in_use.set(budget)
    try:
        return str(template.render({name: plain_value(value, budget) for name, value in values.items()}))
    except (RecursionError, MemoryError, OverflowError) as error:
        raise PromptError(f"the prompt template could not be filled in: {type(error).__name__}") from error
    finally:
        budget_in_use.reset(token)


@functools.lru_cache(maxsize=256)
def _compiled(source: str) -> tuple[Any, nodes.Template]:
    if len(source) > _LONGEST or source.count("{{") + source.count("{%") + source.count("{#") > _MOST_TAGS:
        raise PromptError(f"the template has more than {_LONGEST:,} characters or {_MOST_TAGS:,} tags")
    tree = with_charges(_environment().parse(source))
    return _environment().from_string(tree), tree


@functools.cache
def _environment() -> _Environment:
    return _Environment()


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
    if method.name in GROWING:
        charge_growth(size, arguments, sizes, budget)
    result = getattr(method.value, method.name)(*args, **kwargs)
    return list(result) if type(method.value) is dict and method.name != "get" else result
