"""Every error of plsync, in one tree under ``PlsyncError``, and its warnings.

::

    PlsyncError
    ├── JournalError              the journal directory, or a file in it, cannot be used
    │   ├── JournalNotFound       there is no journal at the path
    │   ├── JournalFormatError    the directory is not a journal, or a newer plsync wrote it
    │   ├── JournalLocked         another process holds the lock that the call needs
    │   └── JournalCorrupt        stored bytes do not match their checksum
    ├── BundleError               a bundle, a key or a card cannot be used
    ├── ConfigError               the configuration file cannot be read, or has a wrong value
    ├── RecordNotFound            no record has the id or abbreviation
    ├── AmbiguousId               more than one record has the id or abbreviation
    ├── InvalidFollowUp           PromptLayer would refuse a score, metadata, prompt link or group (a ValueError)
    ├── SinkUnavailable           this process cannot import the function of a callback
    ├── PromptError               a prompt template is not available, or not in the requested form
    │   ├── PromptNotFound        PromptLayer has no such template, version or label
    │   └── PromptUnavailable     the template is not cached, and PromptLayer cannot be reached
    ├── RecordingError            an event could not be written (never raised into a model call)
    ├── SyncError                 a request to PromptLayer failed
    │   ├── Offline               no connection could be made; nothing was sent
    │   ├── AuthenticationError   the API key is missing, or PromptLayer refused it
    │   ├── Rejected              PromptLayer refused a request
    │   └── WrongWorkspace        the records went to another server or workspace; nothing was sent
    ├── ReplayError               a recording could not be read, written or replayed
    │   ├── RecordingNotFound     there is no recording at the path
    │   ├── RecordingFormatError  the file is not a recording, or a newer plsync wrote it
    │   └── RecordedError         replaces a recorded exception whose class this process lacks
    ├── ExportError               records could not be exported to a lake or a collector
    ├── RerunError                a rerun cannot begin: its model, or a package, is missing
    ├── NoRecording               no recorded call matches a request; not an Exception
    └── NetworkBlocked            a test tried to use the network; not an Exception

    PlsyncWarning
    └── StalePrompt               PromptLayer could not be reached; the template comes from the cache

Each message states the failure, the data that was kept, and the next step.

``NoRecording`` and ``NetworkBlocked`` are outcomes of a test, like pytest's own. A program may retry or ignore an
``Exception``, and the test would then pass. So both derive from BaseException; ``except PlsyncError`` catches them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from plsync._terminal import visible

__all__ = [
    "AmbiguousId",
    "AuthenticationError",
    "BundleError",
    "ConfigError",
    "ExportError",
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
    "RerunError",
    "SinkUnavailable",
    "StalePrompt",
    "SyncError",
    "WrongWorkspace",
]


class PlsyncError(BaseException):
    """The root of all errors of plsync. All but ``NoRecording`` and ``NetworkBlocked`` are Exceptions, too."""

    def __str__(self) -> str:
        # A message quotes paths, names and texts of others. It reaches terminals and logs in tracebacks, too.
        return visible(super().__str__())


class JournalError(PlsyncError, Exception):
    """The journal directory, or a file in it, cannot be used."""

    errno: int | None = None
    """The error number of the operating system, such as ``errno.ENOSPC``; None if the system did not refuse."""


class JournalNotFound(JournalError):
    """There is no journal at the path."""


class JournalFormatError(JournalError):
    """The directory is not a journal, or a newer plsync wrote it."""


class JournalLocked(JournalError):
    """Another process holds the lock that the call needs."""


class JournalCorrupt(JournalError):
    """Stored bytes do not match their checksum."""


class BundleError(PlsyncError, Exception):
    """A bundle, a key or a card cannot be used."""


class ConfigError(PlsyncError, Exception):
    """The configuration file cannot be read, or has a wrong value. The message names the file and the line or field."""


class RecordNotFound(PlsyncError, Exception):
    """No record has the id or abbreviation."""


class AmbiguousId(PlsyncError, Exception):
    """More than one record has the id or abbreviation."""

    def __init__(self, message: str, candidates: Mapping[str, Any] | None = None) -> None:
        """Raised by plsync.

        Args:
            message: the failure, with the ids of some of the records.
            candidates: the records, by abbreviations of their ids.
        """
        super().__init__(message)
        self.candidates = candidates or {}
        """At most 21 of the records (:class:`plsync.journal.Record`), by the shortest abbreviation of each id."""


class InvalidFollowUp(PlsyncError, ValueError):
    """PromptLayer would refuse a score, metadata, a prompt link or a group. The follow-up was not queued."""


class SinkUnavailable(PlsyncError, Exception):
    """This process cannot import the function of a callback. Its request ids wait for another process."""


class PromptError(PlsyncError, Exception):
    """A prompt template is not available, or not in the requested form."""


class PromptNotFound(PromptError):
    """PromptLayer has no such template, version or label."""


class PromptUnavailable(PromptError):
    """A template is not cached, and PromptLayer cannot be reached."""


class RecordingError(PlsyncError, Exception):
    """An event could not be written to the spool. The model call is not affected."""


class SyncError(PlsyncError, Exception):
    """A request to PromptLayer failed. The journal keeps every unsent record."""


class Offline(SyncError):
    """PromptLayer could not be reached. Nothing was sent."""


class AuthenticationError(SyncError):
    """The PromptLayer API key is missing, or PromptLayer refused it."""


class WrongWorkspace(SyncError):
    """The journal's records went to another PromptLayer server or workspace. Nothing was sent."""

    by_key: bool = False
    """Whether the server is the same, and the API key is another."""


class Rejected(SyncError):
    """PromptLayer refused a request. The record is kept."""


class ReplayError(PlsyncError, Exception):
    """A recording could not be read, written or replayed."""


class RecordingNotFound(ReplayError):
    """There is no recording at the path."""


class RecordingFormatError(ReplayError):
    """The file is not a recording, or a newer plsync wrote it."""


class RecordedError(ReplayError):
    """Replaces a recorded exception whose class this process lacks. A subclass has its name and attributes."""


class ExportError(PlsyncError, Exception):
    """Records could not be exported to a lake or a collector. The journal is unchanged."""


class RerunError(PlsyncError, Exception):
    """A rerun cannot begin: a package, the model or its file is missing, or the name has no provider."""


class _TestOutcome(PlsyncError):
    # LangChain's agenerate treats an error that is not an Exception as a result. It reads these attributes first, and
    # raises the error afterwards.
    generations: ClassVar[tuple[()]] = ()
    llm_output: ClassVar[None] = None


class NoRecording(_TestOutcome):
    """No recorded call matches a request. No model was called."""


class NetworkBlocked(_TestOutcome):
    """A test tried to use the network under ``--plsync-block-network``."""


class PlsyncWarning(UserWarning):
    """An event could not be recorded, or another problem that plsync works around. Shown once."""

    def __str__(self) -> str:
        return visible(super().__str__())


class StalePrompt(PlsyncWarning):
    """PromptLayer could not be reached. The prompt template comes from the cache and may be outdated."""
