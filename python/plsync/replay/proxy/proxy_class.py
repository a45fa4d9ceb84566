"""A model's class with its way to the model replaced: recorded calls are served, the others made and recorded.

The graft is a subclass made for one model and one recording, and the model a copy of it that belongs to that class.
So everything else about the model is as it was: its type for ``isinstance``, its methods, what it sends. Only the
methods in which LangChain lets an integration do its work are replaced (``_generate``, ``_stream`` and the others).
"""

from __future__ import annotations

import abc
import inspect
import operator
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from plsync.replay.proxy.one_at_a_time import Turnstile, turnstile_of
from plsync.replay.recording import Recording
from plsync.replay.redaction import secrets_of
from plsync.replay.request.request import Kind, of_model

__all__ = ["Graft", "accepts", "graft_of", "is_grafted", "live_view", "pace"]

_AT: Final = "__plsync_graft__"
_SLOTS: Final = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")


class Graft:
    """What the grafted class of a model refers to."""

    def __init__(
        self,
        live: type,
        kind: Kind,
        methods: Mapping[str, Callable[..., Any]],
        recording: Recording,
        *,
        asks: bool,
        serial: bool | None,
    ) -> None:
        """Makes the class.

        Args:
            live: the model's class.
            kind: which of LangChain's base classes it derives from.
            methods: what replaces its methods, by name.
            recording: what calls are served from and recorded to.
            asks: whether there is a model behind it that can be asked.
            serial: whether its calls take turns while they are recorded; ``None`` for models known to need it.
        """
        self.live = live
        self.kind = kind
        self.recording = recording
        self.asks = asks
        self.serial = serial
        self._seen: tuple[list[Any], tuple[tuple[str, ...], dict[str, Any]] | None] = ([], None)
        names = {
            **methods,
            **{"__module__": live.__module__, "__qualname__": live.__qualname__, "__doc__": live.__doc__},
            **{"__slots__": (), "__reduce_ex__": _reduce, _AT: self},
        }
        # Not type(live)(...): pydantic would build its validator and serializer again, which takes it 15 ms for
        # ChatOpenAI. The fields are the same, so those of the live class will do.
        self.cls: type = abc.ABCMeta.__new__(type(live), live.__name__, (live,), names)

    def onto(self, model: Any) -> Any:
        """A copy of the model that belongs to the grafted class."""
        # A limiter spares a provider, and where none is asked it would only hold up the tests.
        is_held_up = self.recording.mode == "none" and getattr(model, "rate_limiter", None) is not None
        copy = model.model_copy(update={"rate_limiter": None} if is_held_up else None)
        object.__setattr__(copy, "__class__", self.cls)
        return copy

    def view(self, model: Any) -> Any:
        """The same model as one of the grafted class: what one sees, the other sees."""
        return _seen_as(self.cls, model)

    def about(self, model: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
        """The keys and passwords a model holds, and what it asks in every call; looked for when its fields change."""
        values = list(vars(model).values())
        seen, about = self._seen
        if about is None or len(seen) != len(values) or not all(map(operator.is_, seen, values)):
            about = secrets_of(model), of_model(self.kind, model)
            self._seen = values, about
        return about

    def turnstile(self, model: Any) -> Turnstile | None:
        """Through which calls of the model go one by one, if they have to."""
        return turnstile_of(model, self.serial)


def is_grafted(model: Any) -> bool:
    """Whether a model has a recording already."""
    return hasattr(type(model), _AT)


def graft_of(model: Any) -> Graft:
    """The graft of a grafted model."""
    found: Graft = getattr(type(model), _AT)
    return found


def live_view(model: Any) -> Any:
    """A grafted model as it was before: with its own methods, and the same state."""
    return _seen_as(graft_of(model).live, model)


def accepts(method: Callable[..., Any], name: str) -> bool:
    """Whether a method takes a keyword argument of this name."""
    parameters = _signature(method).parameters
    return name in parameters or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())


if sys.version_info >= (3, 14):
    import annotationlib

    def _signature(method: Callable[..., Any]) -> inspect.Signature:
        # Annotations may name what an integration imports for type checkers alone; evaluating them would raise.
        return inspect.signature(method, annotation_format=annotationlib.Format.FORWARDREF)

else:
    _signature = inspect.signature


def pace(waits: Iterator[float], speed: float | None) -> Iterator[float]:
    """Seconds to sleep before each part, so that parts come at ``speed`` times the recorded pace; 0 for at once."""
    due = time.monotonic()
    for wait in waits:
        due += wait / speed if speed else 0.0
        yield max(0.0, due - time.monotonic()) if speed else 0.0


def _seen_as(cls: type, model: Any) -> Any:
    view: Any = object.__new__(cls)
    object.__setattr__(view, "__dict__", model.__dict__)
    for slot in _SLOTS:
        object.__setattr__(view, slot, object.__getattribute__(model, slot))
    return view


def _reduce(self: Any, protocol: Any) -> Any:
    graft = graft_of(self)
    from plsync.replay.proxy.wrap import regraft  # noqa: PLC0415 - it imports this module

    # Without a model behind it, its class may be one that only unpickles what it has made itself.
    state = live_view(self).model_copy() if graft.asks else dict(self.__dict__)
    return regraft, (graft.live, state, graft.recording, {"asks": graft.asks, "serial": graft.serial})
