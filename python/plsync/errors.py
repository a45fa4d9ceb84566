"""Every error plsync raises, one tree under ``PlsyncError``.

::

    PlsyncError
    ├── JournalError            the journal directory or its files
    │   ├── JournalNotFound     there is no journal at that path
    │   ├── JournalFormatError  written by a newer plsync, or not a journal
    │   ├── JournalLocked       another process holds what this call needs
    │   └── JournalCorrupt      a frame or record does not match its checksum
    ├── RecordNotFound          no record has that id (or abbreviation)
    ├── AmbiguousId             more than one record starts with that abbreviation
    ├── InvalidFollowUp         a score, metadata, prompt link or group PromptLayer would not take (a ValueError)
    ├── PromptError             a prompt template that cannot be had, or not in the form asked for
    │   ├── PromptNotFound      PromptLayer has no such template, version or label
    │   └── PromptUnavailable   it was never fetched, and PromptLayer cannot be asked
    ├── RecordingError          an event could not be written (never raised into a model call)
    ├── SyncError               talking to PromptLayer
    │   ├── Offline             no connection could be made; nothing was sent
    │   ├── AuthenticationError the API key is missing or was refused
    │   └── Rejected            PromptLayer understood the request and refused it
    ├── ReplayError             recordings and their replay
    │   ├── RecordingNotFound   there is no recording at that path
    │   ├── RecordingFormatError  written by a newer plsync, or not a recording
    │   └── RecordedError       stands in for a recorded exception whose class is not here
    ├── NoRecording             no recorded call matches a request; not an Exception
    └── NetworkBlocked          a test tried to reach the network; not an Exception

Each message says what happened, what was kept, and what to do.

The last two are outcomes of a test, as pytest's own are. A program that retries, falls back or carries on after an
``Exception`` would turn them into a test that passes, so they are none; ``except PlsyncError`` catches them all.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AmbiguousId",
    "AuthenticationError",
    "InvalidFollowUp",
    "JournalCorrupt",
    "JournalError",
    "JournalFormatError",
    "JournalLocked",
    "JournalNotFound",
    "NetworkBlocked",
    "NoRecording",
    "Offline",
    "PlsyncError",
    "PlsyncWarning",
    "PromptError",
    "PromptNotFound",
    "PromptUnavailable",
    "RecordNotFound",
    "RecordedError",
    "RecordingError",
    "RecordingFormatError",
    "RecordingNotFound",
    "Rejected",
    "ReplayError",
    "SinkUnavailable",
    "StalePrompt",
    "SyncError",
]


class PlsyncError(BaseException):
    """The root of every error raised by plsync; all but ``NoRecording`` and ``NetworkBlocked`` are Exceptions too."""


class JournalError(PlsyncError, Exception):
    """The journal directory, or a file in it, could not be used."""


class JournalNotFound(JournalError):
    """There is no journal at the given path."""


class JournalFormatError(JournalError):
    """The directory is not a journal, or a newer plsync wrote it."""


class JournalLocked(JournalError):
    """Another process holds a lock this operation needs."""


class JournalCorrupt(JournalError):
    """Stored bytes do not match their checksum."""


class RecordNotFound(PlsyncError, Exception):
    """No record has the given id or abbreviation."""


class AmbiguousId(PlsyncError, Exception):
    """More than one record id starts with the given abbreviation."""


class InvalidFollowUp(PlsyncError, ValueError):
    """A score, metadata, a prompt link or a group is none that PromptLayer would take; it was not queued."""


class SinkUnavailable(PlsyncError, Exception):
    """A callback's function cannot be imported by this process; its entries wait for one that can."""


class PromptError(PlsyncError, Exception):
    """A prompt template cannot be had, or not in the form that was asked for."""


class PromptNotFound(PromptError):
    """PromptLayer has no such template, version or label."""


class PromptUnavailable(PromptError):
    """A template is not in the cache, and PromptLayer cannot be asked for it."""


class RecordingError(PlsyncError, Exception):
    """An event could not be written to the spool; the model call is not affected."""


class SyncError(PlsyncError, Exception):
    """A sync could not be completed; everything unsent stays in the journal."""


class Offline(SyncError):
    """PromptLayer could not be reached; nothing was sent."""


class AuthenticationError(SyncError):
    """The PromptLayer API key is missing or was refused."""


class Rejected(SyncError):
    """PromptLayer refused a request; the record is kept."""


class ReplayError(PlsyncError, Exception):
    """A recording could not be read, written or replayed."""


class RecordingNotFound(ReplayError):
    """There is no recording at the given path."""


class RecordingFormatError(ReplayError):
    """The file is not a recording, or a newer plsync wrote it."""


class RecordedError(ReplayError):
    """A recorded exception of a class this process does not have; its subclass carries the name and the attributes."""


class _Outcome(PlsyncError):
    # LangChain's agenerate takes what is no Exception for an answer and looks at these, before it raises it.
    generations: ClassVar[tuple[()]] = ()
    llm_output: ClassVar[None] = None


class NoRecording(_Outcome):
    """No recorded call matches this request; no model was called."""


class NetworkBlocked(_Outcome):
    """A test tried to reach the network under ``--plsync-block-network``."""


class PlsyncWarning(UserWarning):
    """Shown once when something could not be recorded."""


class StalePrompt(PlsyncWarning):
    """PromptLayer could not be asked for a prompt template: this is the one it had when it was asked last."""
