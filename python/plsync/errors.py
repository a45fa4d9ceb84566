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
    └── SyncError               talking to PromptLayer
        ├── Offline             no connection could be made; nothing was sent
        ├── AuthenticationError the API key is missing or was refused
        └── Rejected            PromptLayer understood the request and refused it

Each message says what happened, what was kept, and what to do.
"""

from __future__ import annotations

__all__ = [
    "AmbiguousId",
    "AuthenticationError",
    "InvalidFollowUp",
    "JournalCorrupt",
    "JournalError",
    "JournalFormatError",
    "JournalLocked",
    "JournalNotFound",
    "Offline",
    "PlsyncError",
    "PlsyncWarning",
    "PromptError",
    "PromptNotFound",
    "PromptUnavailable",
    "RecordNotFound",
    "RecordingError",
    "Rejected",
    "SinkUnavailable",
    "StalePrompt",
    "SyncError",
]


class PlsyncError(Exception):
    """The root of every error raised by plsync."""


class JournalError(PlsyncError):
    """The journal directory, or a file in it, could not be used."""


class JournalNotFound(JournalError):
    """There is no journal at the given path."""


class JournalFormatError(JournalError):
    """The directory is not a journal, or a newer plsync wrote it."""


class JournalLocked(JournalError):
    """Another process holds a lock this operation needs."""


class JournalCorrupt(JournalError):
    """Stored bytes do not match their checksum."""


class RecordNotFound(PlsyncError):
    """No record has the given id or abbreviation."""


class AmbiguousId(PlsyncError):
    """More than one record id starts with the given abbreviation."""


class InvalidFollowUp(PlsyncError, ValueError):
    """A score, metadata, a prompt link or a group is none that PromptLayer would take; it was not queued."""


class SinkUnavailable(PlsyncError):
    """A callback's function cannot be imported by this process; its entries wait for one that can."""


class PromptError(PlsyncError):
    """A prompt template cannot be had, or not in the form that was asked for."""


class PromptNotFound(PromptError):
    """PromptLayer has no such template, version or label."""


class PromptUnavailable(PromptError):
    """A template is not in the cache, and PromptLayer cannot be asked for it."""


class RecordingError(PlsyncError):
    """An event could not be written to the spool; the model call is not affected."""


class SyncError(PlsyncError):
    """A sync could not be completed; everything unsent stays in the journal."""


class Offline(SyncError):
    """PromptLayer could not be reached; nothing was sent."""


class AuthenticationError(SyncError):
    """The PromptLayer API key is missing or was refused."""


class Rejected(SyncError):
    """PromptLayer refused a request; the record is kept."""


class PlsyncWarning(UserWarning):
    """Shown once when something could not be recorded."""


class StalePrompt(PlsyncWarning):
    """PromptLayer could not be asked for a prompt template: this is the one it had when it was asked last."""
