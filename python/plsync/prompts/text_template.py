"""LangChain's prompt template for a text of the workspace, filled in with limits."""

from __future__ import annotations

import functools
import importlib.metadata
import re
from types import ModuleType
from typing import Any, Final

from langchain_core.prompts import PromptTemplate
from langchain_core.prompts.string import get_template_variables
from pydantic import model_validator

from plsync.prompts.limits import Budget, check_format, fill_in

__all__ = ["TextTemplate"]

_SAFE_JINJA2: Final = (3, 1, 6)


class TextTemplate(PromptTemplate):
    """A ``PromptTemplate`` that reaches plain values only, and takes a limited time and memory.

    Its variables are texts, numbers, bools, None, and lists and dicts of them. Any other value becomes its text.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """The name of LangChain's class, which loads a saved template."""
        return PromptTemplate.lc_id()

    @model_validator(mode="before")
    @classmethod
    def pre_init_validation(cls, values: dict[str, Any]) -> Any:
        """Find the names of the variables. LangChain's own validator computes the constants of a jinja2 template."""
        text, template_format = values.get("template"), values.get("template_format", "f-string")
        if not isinstance(text, str):
            return values
        if template_format == "f-string":
            check_format(text)
            names = get_template_variables(text, "f-string")
        else:
            names = _sandbox().variables(text)
        partial = values.get("partial_variables") or {}
        return {**values, "input_variables": [name for name in names if name not in partial]}

    @classmethod
    def of(cls, text: str, template_format: str, **settings: Any) -> TextTemplate:
        """A template for a text.

        Args:
            text: the template.
            template_format: ``"f-string"`` or ``"jinja2"``.
            settings: further fields of ``PromptTemplate``.

        Raises:
            ImportError: jinja2 is not installed, or older than 3.1.6.
            Exception: LangChain or jinja2 cannot parse the text, or the text is beyond a limit.
        """
        return cls(template=text, template_format=template_format, input_variables=[], **settings)

    def format(self, **kwargs: Any) -> str:
        """The text with its variables filled in.

        Raises:
            PromptError: the text is too long, or filling in takes too long.
        """
        variables = self._merge_partial_and_user_variables(**kwargs)
        if self.template_format == "jinja2":
            text: str = _sandbox().render(self.template, variables)
            return text
        check_format(self.template)
        return fill_in(self.template, (), variables, Budget())

    def __add__(self, other: Any) -> TextTemplate:
        """The two texts as one template, with the same limits."""
        return _limited(super().__add__(other))

    def __radd__(self, other: Any) -> Any:
        """The two texts as one template, with the same limits."""
        return _limited(other + PromptTemplate(**dict(self))) if isinstance(other, PromptTemplate) else NotImplemented


@functools.cache
def _sandbox() -> ModuleType:
    """The module that fills in jinja2 templates.

    Raises:
        ImportError: jinja2 is not installed, or its sandbox has published holes.
    """
    remedy = "pip install 'plsync[jinja2]'"
    try:
        installed = importlib.metadata.version("jinja2")
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(f"a prompt template in the format of jinja2 needs the package jinja2: {remedy}") from None
    if tuple(map(int, re.findall(r"\d+", installed)[:3])) < _SAFE_JINJA2:
        raise ImportError(f"templates leave the sandbox of jinja2 {installed}; use 3.1.6 or newer: {remedy}")
    from plsync.prompts import sandbox  # noqa: PLC0415 - jinja2 may be missing

    return sandbox


def _limited(template: PromptTemplate) -> TextTemplate:
    return TextTemplate(**dict(template))
