"""The proxy class of a model: a subclass whose methods serve recorded calls and record live calls.

A proxy class belongs to one model class and one recording. The proxied model is a copy of the live model that belongs
to the proxy class. So ``isinstance``, its methods and its requests do not change. Only the methods that LangChain calls
to run the model are replaced: ``_generate``, ``_stream`` and their relatives.
"""

from __future__ import annotations

import abc
import contextlib
import inspect
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from plsync.replay.proxy.one_at_a_time import FairLock, lock_for
from plsync.replay.recording import Recording
from plsync.replay.redaction import secrets_in_model
from plsync.replay.request.request import Kind, model_defaults

__all__ = ["ProxyClass", "accepts", "is_proxy", "is_proxy_class", "live_view", "parameters_of", "proxy_class_of"]

_ATTRIBUTE: Final = "__plsync_proxy__"
_PYDANTIC_SLOTS: Final = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")

Rebuild = Callable[[type, Any, Recording, dict[str, Any]], Any]
"""Makes a proxied model from the live class, its state, the recording, and settings of ``ProxyClass``."""


class ProxyClass:
    """A proxy class, and everything that its methods need: ``cls`` is the class itself."""

    def __init__(
        self,
        live_class: type,
        kind: Kind,
        methods: Mapping[str, Callable[..., Any]],
        recording: Recording,
        *,
        has_live_model: bool,
        serial: bool | None,
        rebuild: Rebuild,
    ) -> None:
        """Makes the class.

        Args:
            live_class: the class of the live model.
            kind: ``chat`` for a subclass of ``BaseChatModel``, ``llm`` for one of ``BaseLLM``, ``embeddings`` for one
                of ``Embeddings``, ``retriever`` and ``tool``.
            methods: the methods that replace methods of the live class, by name.
            recording: serves and records the calls.
            has_live_model: whether there is a live model to call.
            serial: whether live calls run one at a time; ``None`` to decide by the class of the model.
            rebuild: makes the proxied model again when it is unpickled. The function must be importable by its name.
        """
        self.live_class = live_class
        self.kind = kind
        self.recording = recording
        self.has_live_model = has_live_model
        self.serial = serial
        self.rebuild = rebuild
        self._field_values: list[Any] = []
        self._secrets_and_defaults: tuple[tuple[str, ...], dict[str, Any]] | None = None
        namespace = {
            **methods,
            "__module__": live_class.__module__,
            "__qualname__": live_class.__qualname__,
            "__doc__": live_class.__doc__,
            "__slots__": (),
            "__reduce_ex__": _reduce,
            **({"cache": _HiddenField(False)} if kind in ("chat", "llm") else {}),
            **({"rate_limiter": _HiddenField(None)} if kind == "chat" else {}),
            _ATTRIBUTE: self,
        }
        # Not type(live_class)(...): pydantic would build a validator and a serializer, which takes 15 ms for
        # ChatOpenAI. The proxy class has the same fields and inherits both.
        self.cls: type = abc.ABCMeta.__new__(type(live_class), live_class.__name__, (live_class,), namespace)

    def copy_of(self, model: Any) -> Any:
        """A copy of a live model that belongs to the proxy class."""
        return _copy(self.cls, model)

    def view_of(self, model: Any) -> Any:
        """A live model as an object of the proxy class: both objects share their state."""
        return _view(self.cls, model)

    def secrets_and_defaults(self, model: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
        """The keys and passwords of a model, and the request parts that it sends with every call.

        They are computed again only when a field of the model has changed.
        """
        values = list(getattr(model, "__dict__", {}).values())
        found, known = self._secrets_and_defaults, self._field_values
        if found is None or len(known) != len(values) or not all(map(operator.is_, known, values)):
            defaults = model_defaults(self.kind, model) if self.kind in ("chat", "llm") else {}
            found = secrets_in_model(model), defaults
            self._field_values, self._secrets_and_defaults = values, found
        return found

    def limiter_of(self, model: Any) -> Any:
        """The rate limiter for live calls of a chat model, or ``None``."""
        return vars(model).get("rate_limiter") if self.kind == "chat" else None

    def lock_of(self, model: Any) -> FairLock | None:
        """The lock that a live call must hold; ``None`` for a model that serves calls in parallel."""
        return lock_for(model, self.serial)


class _HiddenField:
    """A field of the live model that LangChain must not see in the proxied model.

    A cache would answer before the recording, and keep replayed responses. A rate limiter would delay calls that are
    served; a live call waits for it in ``InterceptedCall``. The value of the model stays in its ``__dict__``.
    """

    def __init__(self, value: object) -> None:
        self._value = value

    def __get__(self, model: Any, owner: type) -> Any:
        return self if model is None else self._value

    def __set__(self, model: Any, value: object) -> None:
        vars(model)[self._name] = value

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name


def is_proxy(model: Any) -> bool:
    """Whether a model belongs to a proxy class."""
    return hasattr(type(model), _ATTRIBUTE)


def is_proxy_class(cls: type) -> bool:
    """Whether a class is a proxy class itself."""
    return _ATTRIBUTE in vars(cls)


def proxy_class_of(model: Any) -> ProxyClass:
    """The proxy class of a proxied model."""
    found: ProxyClass = getattr(type(model), _ATTRIBUTE)
    return found


def live_view(model: Any) -> Any:
    """A proxied model as an object of its live class: both objects share their state."""
    return _view(proxy_class_of(model).live_class, model)


def parameters_of(cls: type, name: str) -> list[str]:
    """The names of a method's positional arguments, without ``self``; none for a method without a signature."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method = inspect.unwrap(inspect.getattr_static(cls, name), stop=lambda found: isinstance(found, staticmethod))
    try:
        parameters = _signature(inspect.unwrap(method)).parameters.values()
    except (TypeError, ValueError):  # compiled code
        return []
    names = [one.name for one in parameters if one.kind in kinds]
    return names if isinstance(method, staticmethod) else names[1:]


def accepts(method: Callable[..., Any], name: str) -> bool:
    """Whether a method has a keyword argument of this name, or takes any."""
    parameters = _signature(method).parameters
    return name in parameters or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())


if sys.version_info >= (3, 14):
    import annotationlib

    def _signature(method: Callable[..., Any]) -> inspect.Signature:
        # An integration may import the names in its annotations only for type checkers. Evaluating them would raise.
        return inspect.signature(method, annotation_format=annotationlib.Format.FORWARDREF)

else:
    _signature = inspect.signature


def _view(cls: type, model: Any) -> Any:
    view: Any = _new(cls)
    if hasattr(cls, "__pydantic_fields__"):
        object.__setattr__(view, "__dict__", model.__dict__)
        for slot in _PYDANTIC_SLOTS:
            object.__setattr__(view, slot, object.__getattribute__(model, slot))
        return view
    if hasattr(model, "__dict__"):
        object.__setattr__(view, "__dict__", model.__dict__)
    for slot in _slots(cls):
        with contextlib.suppress(AttributeError):  # a slot that is not set
            object.__setattr__(view, slot, object.__getattribute__(model, slot))
    return view


def _copy(cls: type, model: Any) -> Any:
    """A shallow copy of a model as an object of ``cls``."""
    if hasattr(model, "model_copy"):
        copy = model.model_copy()
        object.__setattr__(copy, "__class__", cls)
        return copy
    view = _view(cls, model)
    if hasattr(model, "__dict__"):
        object.__setattr__(view, "__dict__", {**model.__dict__})
    return view


def _new(cls: type) -> Any:
    try:
        return object.__new__(cls)
    except TypeError as error:
        raise TypeError(f"objects of {cls.__name__} cannot be recorded: {error}; no model was called") from error


def _slots(cls: type) -> Iterator[str]:
    """The attributes of an object outside of its ``__dict__``."""
    for base in cls.__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            is_private = name.startswith("__") and not name.endswith("__")
            if name not in ("__dict__", "__weakref__"):
                yield f"_{base.__name__.lstrip('_')}{name}" if is_private else name


def _reduce(self: Any, protocol: Any) -> Any:
    proxy = proxy_class_of(self)
    # Without a live model only the fields are pickled: its class may define methods for pickle that need a live model.
    state = _copy(proxy.live_class, live_view(self)) if proxy.has_live_model else dict(self.__dict__)
    settings = {"has_live_model": proxy.has_live_model, "serial": proxy.serial}
    return proxy.rebuild, (proxy.live_class, state, proxy.recording, settings)
