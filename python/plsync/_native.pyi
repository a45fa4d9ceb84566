"""The Rust core: the recorder, which runs inside the user's call, and the store, which does everything else.

Private. Programs use ``plsync.PromptLayerCallbackHandler`` and ``plsync.Journal``. The modules of plsync import these
names from ``plsync._common.native``. ``docs/reference/format.md`` specifies the numbers and the byte layouts.

Conventions: ids of records and writers are 16 bytes. Times are ints: ``..._ms`` and ``not_before`` are milliseconds
since the epoch, unless a text says ns. A method that reads or writes the journal raises JournalError (a class of
``plsync.errors``) when the disk fails, and JournalCorrupt when stored bytes do not match their checksum.
"""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Literal, final
from uuid import UUID

from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from typing_extensions import Self

__version__: str

STATES: tuple[Literal["pending", "leased", "in_doubt", "acked", "dead", "held", "carried", "received"], ...]
"""The states of a record. The index of a state is its number."""

ENDS: tuple[Literal["none", "ok", "error", "cancelled", "partial", "abandoned", "interrupted"], ...]
"""The ways in which a call ends. The index of an end is its number."""

END_OK: int
"""The model answered, or the run returned."""
END_ERROR: int
"""The model raised an error."""
END_CANCELLED: int
"""The program cancelled the call."""
END_PARTIAL: int
"""The program stopped reading the answer."""
END_ABANDONED: int
"""The process ended without recording an end."""
END_INTERRUPTED: int
"""A graph waits for a person."""

FLAG_CACHED: int
"""The answer came from a LangChain cache."""
FLAG_LOSSY: int
"""The stored form only approximates a value."""
FLAG_REDACTED: int
"""A redact hook, or ``content=False``, changed or removed content."""
FLAG_INFERRED: int
"""No end of the call was reported. The recorder saw that none can come."""
FLAG_PRUNED: int
"""The quota removed the record's bodies."""
FLAG_FORGOTTEN: int
"""``plsync forget`` removed the content."""
FLAG_RUN: int
"""The record is a run that is not a call: a chain, a prompt, a parser, a tool or a retriever."""
FLAG_RENEWED: int
"""The record is sent under a second trace id, because PromptLayer made no request log of the first."""
PAGE_BYTES: int
"""Bytes of bodies with which a page of ``Store.query`` ends early."""

# --- the hand-over ---

def hand_over(
    load_errors: Callable[[], ModuleType],
    *,
    plain_form: Callable[[Any], tuple[str, Any] | None] | None = None,
) -> None:
    """Receives the parts of plsync that Rust uses. Only ``plsync._common.native`` calls this, once.

    Until then the native classes and ``encode`` raise RuntimeError. While ``load_errors`` fails, a journal error is a
    RuntimeError with the failure as its cause.

    Args:
        load_errors: returns the module ``plsync.errors``; called with the first error of the process.
        plain_form: returns the kind and the plain form of a value that the encoder does not know; None for a value
            without one. Without it, such a value is kept by its ``repr``.
    """

# --- redaction: plsync._common.redaction documents these functions ---

def is_credential_name(key: object) -> bool:
    """Whether a header or setting of this name, a str or bytes, holds a credential."""

def is_url_credential(name: str) -> bool:
    """Whether a parameter of this name in a URL of a message holds a credential."""

def redact_text(text: str) -> str:
    """The text of a setting, a name, an error or a log without its credentials."""

def redact_urls(text: str) -> str:
    """The text of a message without the credentials of its URLs."""

def redact_secrets(text: str, secrets: list[str]) -> str:
    """The text with secrets of known values replaced, in each of their spellings."""

def redact_settings(value: Any) -> Any:
    """A copy of settings or headers without credentials."""

# --- recording ---

@final
class Recorder:
    """Writes the events of one process into its spool segments.

    Thread-safe and fork-aware. It opens no LMDB and no socket. The first event creates the segment.
    ``rust/python/src/recorder/mod.rs`` implements this class.
    """

    def __new__(
        cls,
        path: str | None,
        durability: str = "process",
        *,
        pl_tags: Sequence[str] = ...,
        sink: str | None = None,
        redact: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None,
        join: Callable[[list[Any]], list[Any]] | None = None,
        runs: str = "llm",
    ) -> Recorder:
        """Opens a recorder for the journal at ``path``.

        Args:
            path: the journal's directory; the first event creates it. With None each event is a counted failure.
            durability: ``"process"`` or ``"power"``, as for the handler.
            pl_tags: tags for PromptLayer, written with every start.
            sink: the name of the function that receives request ids.
            redact: called with each event before it is encoded; returns the event to keep, or None for ids and times.
            join: makes the generations of a call from the chunks that arrived before it was cancelled or failed.
            runs: ``"llm"``, ``"tree"`` or ``"all"``, as for the handler.

        Raises:
            ValueError: another durability, or other ``runs``.
        """

    def step_end(self, ended: int, output: Any, error: dict[str, Any] | None, run_id: UUID, input: Any) -> None:
        """Records the end of a failed run that is not a call. Ignores a run that is not open. Never raises.

        Args:
            ended: a number of ``ENDS``.
            output: the output; of an interrupted run the interrupts.
            error: the ``error`` of ``docs/reference/events.md``, or None.
            run_id: LangChain's.
            input: the input of a run that read it as a stream, else None.
        """

    def note_wait(self, run_id: UUID) -> None:
        """Notes that an open run, a graph, waits for a person. It will end well. Never raises."""

    def is_open(self, run_id: UUID) -> bool:
        """Whether a run with this run id has started and not ended."""

    def fail(
        self,
        ended: int,
        error: dict[str, Any],
        generations: list[Any],
        decision: bool,
        run_id: UUID | None,
        parent_run_id: UUID | None,
    ) -> None:
        """Records the end of a failed call. Never raises.

        Args:
            ended: END_ERROR, END_CANCELLED or END_PARTIAL.
            error: the ``error`` of ``docs/reference/events.md``.
            generations: the part of the answer that had arrived.
            decision: whether the call is a chain that stands for an LLM request.
            run_id, parent_run_id: LangChain's.
        """

    def note_failure(self, reason: str) -> None:
        """Counts an event that could not be recorded. The first one of a process shows a PlsyncWarning."""

    def append(self, payload: bytes, *, record_id: bytes | None = None) -> bytes:
        """Writes bytes as one opaque event, and returns the id of its record.

        Raises:
            RecordingError: ``payload`` has more than 64 MiB.
            JournalError: the event could not be written.
        """

    def flush(self) -> None:
        """Brings every event of this process to disk (fdatasync).

        Raises:
            JournalError: the disk refused.
        """

    @property
    def writer_id(self) -> bytes:
        """The id of this process as a writer of the journal. A forked child has another."""

    @property
    def failures(self) -> int:
        """Events of this process that could not be recorded, in whole or in part."""

class LangChainCallbacks:
    """LangChain's callbacks for models. ``PromptLayerCallbackHandler`` derives from this class.

    A callback runs no Python code of plsync. ``rust/python/src/recorder/callbacks.rs`` implements them. The handler in
    ``python/plsync/recorder/handler.py`` adds ``on_llm_error``.

    Every callback raises RuntimeError before ``_attach``. A failure to record is counted, and never raised. A start
    also raises the exceptions of ``on_started``.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Ignores its arguments, which are those of the handler."""

    def _attach(self, recorder: Recorder, on_started: Callable[[], object] | None) -> None:
        """Sets the recorder, and a function that is called after each start.

        Raises:
            RuntimeError: the handler is attached already.
        """

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Records the start of a chat model's call.

        Programs may call this. An argument that is absent or of another class costs only itself.

        Args:
            serialized: LangChain's description of the model; only its class is recorded.
            messages: a list with one list of messages. Several lists are several records.
            run_id, parent_run_id, tags, metadata: LangChain's.
            kwargs: ``invocation_params``, ``options`` and ``name`` are recorded.
        """

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Records the start of a text model's call; as ``on_chat_model_start``, with one prompt or several."""

    def on_llm_new_token(self, token: str | list[str | dict[str, Any]], *, run_id: UUID, **kwargs: Any) -> None:
        """Notes a token and the time at which it arrives. The record of a cancelled call holds the tokens so far."""

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Notes the time of a ``content-block-delta``, for providers that stream without token callbacks."""

    def on_llm_end(
        self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Records the answer of a chat model or a text model, with FLAG_CACHED for an answer from LangChain's cache."""

class StepCallbacks(LangChainCallbacks):
    """LangChain's callbacks for chains, tools and retrievers that start, and that end well: the runs of a tree.

    ``python/plsync/recorder/failed_steps.py`` has the callbacks of failed runs. A callback runs no Python code of
    plsync. A failure to record is counted, and never raised.
    """

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        run_type: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Records the start of a chain, a prompt or a parser, or of a chain that stands for an LLM request.

        Args:
            serialized, run_id, parent_run_id, tags, metadata, name: LangChain's.
            inputs: the input. Only the root has it in its record, unless every chain has.
            run_type: ``chain``, ``prompt`` or ``parser``; ``llm`` for a chain that stands for an LLM request.
            kwargs: ``invocation_params`` and ``options`` of an LLM request are recorded.
        """

    def on_chain_end(
        self, outputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, inputs: Any = None, **kwargs: Any
    ) -> None:
        """Records the end of such a run. ``inputs`` has the input of a run that read it as a stream."""

    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        name: str | None = None,
        tool_call_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Records the start of a tool, with its arguments: ``inputs``, else ``input_str``."""

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Records the end of a tool, with its output."""

    def on_retriever_start(
        self,
        serialized: dict[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Records the start of a retriever, with its query."""

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **kwargs: Any) -> None:
        """Records the end of a retriever, with its documents."""

@final
class BundleWriter:
    """A bundle that is being written. Its members are staged in the new file ``scratch``.

    Raises:
        BundleError: the file exists, or cannot be written.
    """

    def __new__(cls, scratch: str) -> BundleWriter: ...
    @property
    def records(self) -> int:
        """The number of records that ``pack_records`` has packed."""

    @property
    def doubtful(self) -> int:
        """The number of these records that may have been sent."""

    def seqs(self) -> bytes:
        """The places of these records in their journal, in order: little-endian numbers of 8 bytes."""

    def followups(
        self, store: Store, hub: int, limit: int | None = None
    ) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, str]]]:
        """Add the waiting follow-ups for a hub, after all records: those that went out in fewer than ``limit`` exports.

        Returns:
            Each with its id in bundles and its key; and for those that do not fit, the record's id and the reason.
        """

    def log(self, store: Store, after: int) -> dict[str, int]:
        """Add the log of a hub's journal behind an entry. Returns the numbers of its entries by kind."""

    def template(self, content: bytes) -> str | None:
        """Add a prompt template, after the log and in the order of their SHA-256. Returns why it does not fit."""

    @property
    def size(self) -> int:
        """About how many bytes the bundle has."""

    @property
    def is_full(self) -> bool:
        """Whether no further record fits."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added."""

    def seal(self, envelope: dict[str, Any]) -> bytes:
        """End the bundle, and return its id of 32 bytes.

        Args:
            envelope: ``kind`` (``out`` or ``back``); ``journal``, the id of the origin's journal; ``name`` and
                ``signing_key`` of the signer (minisign's file); ``to``, the key id of the recipient; ``recipient``,
                age's recipient or None; ``serial``; ``part``, the number and how many; ``created_at`` in ms;
                ``place``, epoch, number, chain hash and ended epochs, or None; ``recent``, ids of earlier bundles and
                the numbers of their exports; ``repeats``, ids of earlier bundles whose records this one has again;
                ``log``, epoch, number and chain hash of the entry before, or None; ``templates``, the digest of the
                set of prompt templates that the bundle has or that its origin keeps, or None.
        """

    def write(self, path: str) -> dict[str, Any]:
        """Write the bundle to a new file, and sync the file. The bundle has ended.

        Returns:
            ``id``, ``size``, ``sha256``, and the content of the ``signature`` file.
        """

def pack_records(
    store: Store,
    hub: int,
    choice: str,
    scratch: str,
    split_size: int,
    *,
    exports: Sequence[int] = (),
    hide: Callable[[bytes | None, bytes | None], tuple[bytes | None, bytes | None]] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[list[BundleWriter], int, list[str], tuple[int, int, int]]:
    """Pack the records of a journal for a hub, in several threads.

    Args:
        store: the journal.
        hub: the number of the hub.
        choice: ``unreceived``, ``new``, ``again`` or ``exported``.
        scratch: a private directory for temporary files.
        split_size: bytes of a bundle, about.
        exports: with ``exported``, the numbers of earlier exports.
        hide: called with the JSON of the start and of the end of each record, and returns both for the bundle. A record
            for which it raises is left out.
        on_progress: called with the number of records that are done, and the number of all.

    Returns:
        The bundles, the number of calls that have not ended, and why records do not fit a bundle. Then the number of
        records that earlier bundles carried, and the first and the last time of these bundles in milliseconds.

    Raises:
        BundleError: a temporary file cannot be written.
        JournalError: the journal cannot be read.
    """

@final
class SignedBundle:
    """A bundle that a trusted peer signed, read whole and without a fault."""

    def fields(self) -> dict[str, Any]:
        """The fields of ``plsync.bundle.receive.BundleFields``."""

    def doubtful(self) -> list[bytes]:
        """The ids of the records that may have been sent."""

    def import_records(self, path: str, *, on_progress: Callable[[int, int], None] | None = None) -> tuple[int, int]:
        """Add the records to a journal. Returns their number, and how many were new.

        Args:
            path: the directory of the journal.
            on_progress: called with the number of records that are done, and the number of all.
        """

    def marked(self) -> list[tuple[bytes, bool, int]]:
        """The records that may have been sent, or that a person sent again: id, doubt and round."""

    def take_followups(self, store: Store) -> int:
        """Queue the follow-ups in the journal of a hub. Returns how many are new."""

    def arrive(self, store: Store) -> bool:
        """Note at a hub that the bundle is in its journal. Returns whether the journal was put back from a copy."""

    def apply_log(self, store: Store, hub: int) -> dict[str, Any]:
        """Apply the log to the journal of its origin. Returns the fields of ``plsync.bundle.receive.Acked``."""

    def template_set(self) -> bytes | None:
        """The digest of the set of prompt templates that the bundle has, or that its origin keeps."""

    def log_end(self) -> tuple[bytes, int] | None:
        """The epoch of the log and the number of its last entry; None in a bundle to a hub."""

    def each_template(self, each: Callable[[bytes], object]) -> None:
        """Call a function with each prompt template, as JSON."""

def open_bundle(
    path: str,
    signature: str,
    copy: str,
    peers: Sequence[tuple[str, str, str]],
    own: Sequence[tuple[str, str | None]],
    free: int,
) -> SignedBundle:
    """Check a signature, copy the file into the new file ``copy``, and read the copy whole.

    Args:
        path: the bundle.
        signature: the content of its signature file.
        copy: a private file, which must stay until the bundle was imported.
        peers: name, role and signing key of each trusted card.
        own: the key ids of this machine, each with the content of age's file; None where no file is encrypted.
        free: free bytes for the copy.

    Raises:
        BundleError: the bundle is not accepted.
    """

def generate_keys() -> tuple[str, str]:
    """New keys: a file of minisign, and a file of age.

    Raises:
        BundleError: the system has no random bytes.
    """

def lock_keys(signing_key: str, identity: str, passphrase: str, *, log_n: int = 17) -> tuple[str, str]:
    """The files of keys, which a passphrase protects by scrypt from now on.

    Args:
        signing_key: minisign's file.
        identity: age's file.
        passphrase: the passphrase.
        log_n: the binary logarithm of scrypt's cost, from 10 to 20.

    Raises:
        BundleError: a file is no key, or the system has no random bytes.
    """

def unlock_signing_key(file: str, passphrase: str) -> str | None:
    """The file of a signing key without a passphrase, from a file with one; None for a wrong passphrase.

    Raises:
        BundleError: the file is no such key.
    """

def unlock_identity(file: str, passphrase: str) -> str | None:
    """The file of an identity without a passphrase, from a file with one; None for a wrong passphrase.

    Raises:
        BundleError: the file is no such key.
    """

def make_card(name: str, signing_key: str, identity: str, replaced: str | None = None) -> str:
    """The card of keys.

    Args:
        name: of the machine.
        signing_key: the content of minisign's file.
        identity: the content of age's file.
        replaced: the content of minisign's file of the key before.

    Raises:
        BundleError: a file is no key, or the name has another form.
    """

def read_card(text: str) -> dict[str, Any]:
    """The fields of a card, after a check of its signatures.

    Raises:
        BundleError: the text is no card, or was changed.
    """

def encode(object: Any, *, redact: bool = False) -> tuple[bytes, bool]:
    """The JSON bytes of any object in tagged form, and whether they only approximate it.

    Args:
        object: any object; one that JSON and the tags can't represent is kept as its ``repr``.
        redact: replaces credentials by ``[redacted]``: values whose name is that of a credential, keys and passwords in
            URLs, and each ``repr`` that may show one.

    Raises:
        TypeError, ValueError: orjson refused the object.
    """

def check_json_memory(value: Any) -> None:
    """Do nothing if the process has the memory that orjson takes for the JSON of a value.

    Raises:
        MemoryError: it has not.
    """

def untagged(event: bytes) -> bytes | None:
    """An event's JSON in which messages and generations are the objects of their fields.

    The result equals that of ``plsync.journal.events.tagged``. None for an event with another tag, or with JSON in
    another form than the recorder writes.
    """

# --- lakes ---

@final
class LakeColumns:
    """Rows of a lake, as columns in Arrow's layout.

    Args:
        kinds: the type of each column, as in ``plsync.genai.columns.COLUMNS``.
        journal_id: the id of the journal.
        content: whether to keep messages, tools and error messages.
    """

    def __new__(cls, kinds: list[str], journal_id: str, content: bool) -> LakeColumns: ...
    def __len__(self) -> int:
        """The number of rows."""

    def add_record(self, row: Row) -> bool:
        """Append the row of a record, as ``plsync.lake.rows.row`` makes it.

        Returns false, and appends nothing, for a record of an unusual form, whose row Python must make.
        """

    def add_row(self, values: tuple[Any, ...]) -> None:
        """Append a row that Python made: a value for each column."""

    def take(self) -> list[tuple[Any, ...]]:
        """The buffers of each column, without which the rows start anew.

        A column of texts has three: validity (None if no value is null), offsets and bytes. A column of numbers has
        validity and values. A list or a map has validity, offsets, and for each child its length and its buffers.
        """

# --- records ---

@final
class Row:
    """One record as stored: fixed fields, and the JSON bodies of its two events."""

    @property
    def id(self) -> bytes:
        """The record's id, a UUIDv7."""

    @property
    def seq(self) -> int:
        """The record's number, dense and in the order of ingest."""

    @property
    def state(self) -> int:
        """The index of the state in STATES."""

    @property
    def ended(self) -> int:
        """The index in ENDS of the way in which the call ended."""

    @property
    def flags(self) -> int:
        """The sum of the FLAG_* that apply."""

    @property
    def attempts(self) -> int:
        """How many times a sender leased the record."""

    @property
    def last_error(self) -> str | None:
        """Why the last attempt failed."""

    @property
    def sink(self) -> str | None:
        """The name of the function that receives the request id."""

    @property
    def writer(self) -> bytes:
        """The id of the process that recorded the call."""

    @property
    def start(self) -> bytes | None:
        """The JSON body of the start event; None for an end without a start."""

    @property
    def end(self) -> bytes | None:
        """The JSON body of the end event; None while the call runs."""

    @property
    def size(self) -> int:
        """Bytes of both bodies, also after they were dropped."""

    def without_bodies(self) -> Row:
        """The row without the bodies of its events."""

    @property
    def damage(self) -> str | None:
        """Why a body could not be read. That body is None."""

    @property
    def request_id(self) -> int | None:
        """PromptLayer's request id."""

    @property
    def server_id(self) -> int | None:
        """The number of the server that gave the request id; None if it is unknown."""

    @property
    def server(self) -> str | None:
        """The URL of that server. Of a record in doubt, the URL of the server that it was sent to."""

    @property
    def acked_at_ns(self) -> int | None:
        """When the request id arrived, in ns since the epoch."""

    @property
    def lane(self) -> int:
        """The lane, whose records are sent in order. Lane 0 keeps no order."""

    @property
    def changed_at_ms(self) -> int:
        """When the state last changed, in ms since the epoch."""

    @property
    def not_before(self) -> int | None:
        """When a waiting record is next due, in ms since the epoch."""

@final
class FollowUp:
    """A score, metadata, a prompt link or a group: one that waits, was refused, or was sent."""

    @property
    def key(self) -> bytes:
        """17 bytes that identify the follow-up."""

    @property
    def number(self) -> int:
        """Unique in the journal; later follow-ups have higher numbers."""

    @property
    def op(self) -> str:
        """``score``, ``metadata``, ``prompt`` or ``group``."""

    @property
    def payload(self) -> bytes:
        """The JSON body for PromptLayer, without the request id."""

    @property
    def record_id(self) -> bytes | None:
        """The record that the follow-up is about; None for a request that is not in the journal."""

    @property
    def request_id(self) -> int | None:
        """The request that the follow-up is about; None while its record has no request id."""

    @property
    def state(self) -> str:
        """``pending``, ``dead`` (PromptLayer refused the follow-up) or ``sent``."""

    @property
    def sent_at(self) -> int | None:
        """When PromptLayer accepted it, in ms since the epoch; None before."""

    @property
    def status(self) -> int | None:
        """The HTTP status of that response."""

    @property
    def attempts(self) -> int:
        """Attempts that failed."""

    @property
    def due(self) -> int:
        """When the follow-up may be sent next, in ms since the epoch; 0 for one without a wait, and for a sent one."""

    @property
    def queued_at(self) -> int:
        """When the follow-up was queued, in ms since the epoch."""

    @property
    def last_error(self) -> str | None:
        """Why the last attempt failed."""

@final
class FailedFollowUp:
    """The result of an attempt to send a follow-up that failed."""

    def __new__(cls, key: bytes, error: str, not_before: int, dead: bool) -> FailedFollowUp: ...
    @property
    def key(self) -> bytes:
        """The ``key`` of the follow-up."""

    @property
    def error(self) -> str:
        """Why the attempt failed."""

    @property
    def not_before(self) -> int:
        """When the follow-up may be sent next, in ms since the epoch."""

    @property
    def dead(self) -> bool:
        """Whether the follow-up is never sent again."""

# --- the store ---

@final
class TextSearch:
    """A search for a text in stored bodies: simple Unicode case folding, in NFC, with the escapes of JSON."""

    def __new__(cls, text: str) -> Self: ...
    def is_in(self, body: bytes) -> bool:
        """Whether a body contains the text."""

@final
class Store:
    """An open journal: LMDB and the spool directory. Thread-safe. Stores of one path share one environment.

    Each method that writes is one transaction. ``rust/python/src/store/`` implements this class.
    """

    def __new__(cls, path: str, *, create: bool = True, force: bool = False, verify: bool = False) -> Store:
        """Opens the journal at ``path``.

        Args:
            path: the journal's directory.
            create: make a journal where there is none.
            force: open a journal on a network file system too.
            verify: verify every page of the store first, even if plsync was the last program that wrote to it.

        Raises:
            JournalNotFound: there is no journal, and ``create`` is false.
            JournalFormatError: the directory is not a journal, or a newer plsync wrote it.
            JournalCorrupt: the store is damaged as a whole.
            JournalError: no permission, or a network file system without ``force``.
        """

    @property
    def path(self) -> str:
        """The journal's directory."""

    def journal_id(self) -> str:
        """The journal's id, 32 hex digits."""

    # --- reading records ---

    def group(self) -> int | None:
        """The number of the group that the journal is shared with."""

    def get(self, record_id: bytes) -> Row | None:
        """The record with this id."""

    def ids_starting_with(self, digits: str, limit: int = 2) -> list[bytes]:
        """The ids of up to ``limit`` records whose hex form starts with ``digits``, oldest first.

        Args:
            digits: lower-case hex digits, at most 32.
            limit: the maximum number of ids.
        """

    def ids_ending_with(self, digits: str, limit: int = 2) -> list[bytes]:
        """Up to ``limit`` record ids whose hex form ends with these digits, newest first. Reads all ids.

        Args:
            digits: lower-case hex digits, at most 32.
            limit: the maximum number of ids.
        """

    def by_label(self, kind: str, value: bytes, limit: int = 100) -> list[bytes]:
        """The ids of up to ``limit`` records with a label, newest first.

        Args:
            kind: ``r`` (run id), ``p`` (parent run id), ``t`` (tag) or ``m`` (model).
            value: the label's value.
            limit: the maximum number of ids.

        Raises:
            ValueError: ``kind`` is not one character.
        """

    def by_request(self, request_id: int) -> list[bytes]:
        """The ids of the records with this request id: several, if several servers gave it."""

    def query(
        self,
        *,
        before: bytes | None = None,
        after: bytes | None = None,
        oldest_first: bool = False,
        limit: int = 100,
        labels: Sequence[tuple[str, bytes]] = (),
        any_labels: Sequence[Sequence[tuple[str, bytes]]] = (),
        states: Sequence[int] | None = None,
        ended: Sequence[int] | None = None,
        lanes: Sequence[int] | None = None,
        removed: Sequence[tuple[int, bool]] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        start_texts: Sequence[str] | None = None,
        min_elapsed: int | None = None,
        runs: bool = False,
    ) -> list[Row]:
        """A page of records, ordered by start time.

        Args:
            before, after: record ids, exclusive, for paging.
            oldest_first: the order.
            limit: the maximum number of records.
            labels: pairs of kind and value; a record must have all of them.
            any_labels: groups of such pairs; a record must have one of each group.
            states, ended, lanes: numbers of which a record must have one.
            removed: states whose records must have their content (False), or must have lost it (True).
            since, until: start times in ms since the epoch; ``since`` is inclusive and ``until`` is exclusive.
            text: a text in a stored JSON body, by the rules of :class:`TextSearch`.
            start_texts: texts, all of which the body of the start must contain, by the same rules.
            min_elapsed: the duration in ns that the call exceeds. Records without a digest may be returned that do not.
            runs: also the runs that are not calls.

        Raises:
            ValueError: an unknown number, or a label kind that is not one character.
            TypeError: an unknown condition.
        """

    def count(
        self,
        at_most: int,
        *,
        labels: Sequence[tuple[str, bytes]] = (),
        any_labels: Sequence[Sequence[tuple[str, bytes]]] = (),
        states: Sequence[int] | None = None,
        ended: Sequence[int] | None = None,
        lanes: Sequence[int] | None = None,
        removed: Sequence[tuple[int, bool]] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        start_texts: Sequence[str] | None = None,
        min_elapsed: int | None = None,
        runs: bool = False,
    ) -> int | None:
        """The number of records that meet these conditions; None if it takes more than ``at_most`` reads, or bodies.

        Raises:
            ValueError, TypeError: as :meth:`query`.
        """

    def label_values(self, kind: str, limit: int) -> list[bytes]:
        """Up to ``limit`` values of the labels of a kind (see :meth:`by_label`), each once.

        Raises:
            ValueError: ``kind`` is not one character.
        """

    def undigested_count(self) -> tuple[int, int]:
        """The number of records, and the number of them without a complete digest."""

    def undigested(self, below: int | None = None, limit: int = 100) -> tuple[list[Row], int | None]:
        """Up to ``limit`` records without a complete digest, the newest first; fewer with ``PAGE_BYTES``.

        Args:
            below: the ``seq`` where the page begins, which is excluded; None for the newest record.
            limit: the maximum number of records.

        Returns:
            The records, and the begin of the next page; None behind the last page.
        """

    def put_digests(
        self,
        made: Sequence[
            tuple[int, int, str, int | None, int | None, Sequence[int] | None, str | None, str | None, str | None]
        ],
    ) -> None:
        """Stores the figures of records, and the labels of their threads, in one transaction.

        Args:
            made: of each record its ``seq``, the number of its end when it was read, and its kind. Then its duration
                and the time to its first token in ns, its tokens (input, output, cached), its model, its provider and
                its thread. Figures of a record with another end by now are not stored.
        """

    def digests(self, numbers: Sequence[int]) -> list[dict[str, Any] | None]:
        """The digests of the records with these ``seq``, as dicts; None for a record without one."""

    def label_counts(self, kind: str, limit: int = 1000) -> list[tuple[bytes, int]]:
        """The values of the labels of a kind (see :meth:`by_label`) with their numbers of records, the largest first.

        Raises:
            ValueError: ``kind`` is not one character.
        """

    def facets(
        self,
        *,
        limit: int = 50,
        only: Sequence[int] | None = None,
        labels: Sequence[tuple[str, bytes]] = (),
        any_labels: Sequence[Sequence[tuple[str, bytes]]] = (),
        states: Sequence[int] | None = None,
        ended: Sequence[int] | None = None,
        lanes: Sequence[int] | None = None,
        removed: Sequence[tuple[int, bool]] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        start_texts: Sequence[str] | None = None,
        min_elapsed: int | None = None,
        runs: bool = False,
    ) -> dict[str, Any]:
        """The records that meet these conditions and are among the ``seq`` in ``only``, counted by value.

        Returns:
            ``total``, ``ended`` by number of the end, ``states`` by number of the state, ``removed`` (the dead and
            the held without content), and ``models``, ``tags``, ``threads`` and ``providers``: up to ``limit`` pairs
            of a value and its number each.

        Raises:
            ValueError, TypeError: as :meth:`query`.
        """

    def histogram(
        self,
        buckets: int,
        *,
        only: Sequence[int] | None = None,
        labels: Sequence[tuple[str, bytes]] = (),
        any_labels: Sequence[Sequence[tuple[str, bytes]]] = (),
        states: Sequence[int] | None = None,
        ended: Sequence[int] | None = None,
        lanes: Sequence[int] | None = None,
        removed: Sequence[tuple[int, bool]] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        start_texts: Sequence[str] | None = None,
        min_elapsed: int | None = None,
        runs: bool = False,
    ) -> tuple[list[int], list[int], list[int]]:
        """The borders of buckets in ms since the epoch, and by bucket the number of records and of errors.

        Raises:
            ValueError, TypeError: as :meth:`query`.
        """

    def occupied(
        self,
        span_ms: int,
        *,
        only: Sequence[int] | None = None,
        labels: Sequence[tuple[str, bytes]] = (),
        any_labels: Sequence[Sequence[tuple[str, bytes]]] = (),
        states: Sequence[int] | None = None,
        ended: Sequence[int] | None = None,
        lanes: Sequence[int] | None = None,
        removed: Sequence[tuple[int, bool]] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        start_texts: Sequence[str] | None = None,
        min_elapsed: int | None = None,
        runs: bool = False,
    ) -> list[int]:
        """The numbers of the spans of time in which records started, counted from the epoch.

        Raises:
            ValueError, TypeError: as :meth:`query`.
        """

    def usage(
        self,
        by: str,
        *,
        moments: Sequence[int] = (),
        only: Sequence[int] | None = None,
        labels: Sequence[tuple[str, bytes]] = (),
        any_labels: Sequence[Sequence[tuple[str, bytes]]] = (),
        states: Sequence[int] | None = None,
        ended: Sequence[int] | None = None,
        lanes: Sequence[int] | None = None,
        removed: Sequence[tuple[int, bool]] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        start_texts: Sequence[str] | None = None,
        min_elapsed: int | None = None,
        runs: bool = False,
    ) -> tuple[list[tuple[bytes | int | bool | None, dict[str, Any]]], dict[str, Any], int]:
        """The sums of the records that meet these conditions.

        Args:
            by: ``model``, ``tag``, ``thread`` or ``time``.
            moments: the begins of the groups ``by`` time, in ms since the epoch.
            only: the ``seq`` of the records that count; None for all.

        Returns:
            The groups, the total, and the number of records without a complete digest. The key of a group is a name,
            or the index of a moment, None without a name, or False for all groups beyond 100,000.

        Raises:
            ValueError: an unknown ``by``; else as :meth:`query`.
            TypeError: as :meth:`query`.
        """

    def search(
        self,
        budget_ms: int,
        *,
        before: bytes | None = None,
        after: bytes | None = None,
        oldest_first: bool = False,
        limit: int = 100,
        labels: Sequence[tuple[str, bytes]] = (),
        any_labels: Sequence[Sequence[tuple[str, bytes]]] = (),
        states: Sequence[int] | None = None,
        ended: Sequence[int] | None = None,
        lanes: Sequence[int] | None = None,
        removed: Sequence[tuple[int, bool]] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        start_texts: Sequence[str] | None = None,
        min_elapsed: int | None = None,
        runs: bool = False,
    ) -> tuple[list[Row], bytes | None, int]:
        """As :meth:`query`, and ends after a time.

        Returns:
            The records, the id of the last record that was searched (None behind the last), and how many were.

        Raises:
            ValueError, TypeError: as :meth:`query`.
        """

    def ordered(
        self,
        figure: str,
        *,
        smallest_first: bool = False,
        beyond: tuple[int, int] | None = None,
        only: Sequence[int] | None = None,
        limit: int = 100,
        labels: Sequence[tuple[str, bytes]] = (),
        any_labels: Sequence[Sequence[tuple[str, bytes]]] = (),
        states: Sequence[int] | None = None,
        ended: Sequence[int] | None = None,
        lanes: Sequence[int] | None = None,
        removed: Sequence[tuple[int, bool]] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        start_texts: Sequence[str] | None = None,
        min_elapsed: int | None = None,
        runs: bool = False,
    ) -> list[tuple[int, Row]]:
        """Records in the order of a figure of their digests, each with the figure. The largest is first.

        Args:
            figure: ``took``, ``first_token`` or ``tokens``. Records without it are left out.
            smallest_first: the other order.
            beyond: the figure and the ``seq`` of the last record of the page before.
            only: the ``seq`` of the records that may be returned; None for all.
            limit: the maximum number of records.

        Raises:
            ValueError: an unknown figure; else as :meth:`query`.
            TypeError: as :meth:`query`.
        """

    def roots(self, beyond: bytes | None = None, *, oldest_first: bool = False, limit: int = 100) -> list[bytes]:
        """Up to ``limit`` record ids of roots of trees, in the order of their starts.

        Args:
            beyond: the last root of the page before, for paging.
            oldest_first: the order.
            limit: the maximum number of ids.
        """

    def tree(self, root: bytes, after: bytes | None = None, *, limit: int = 1000) -> list[Row]:
        """The records of a tree in the order of their starts, the root first. A page ends early with ``PAGE_BYTES``.

        Args:
            root: the record id of the root.
            after: the last record of the page before, for paging.
            limit: the maximum number of records.
        """

    def follow(self, seq: int, limit: int = 100) -> list[Row]:
        """Up to ``limit`` records with a number above ``seq``, in the order of ingest."""

    def last_seq(self) -> int:
        """The number of the newest record; 0 for an empty journal."""

    def short_id_length(self, record_id: bytes) -> int:
        """The number of leading hex digits that no other id in the journal shares."""

    # --- the journal as a whole; each dict has the keys of a dataclass in plsync.journal.reports ---

    def ingest(self, *, wait: bool = False, largest: int | None = None) -> dict[str, Any]:
        """Moves the events of every segment into LMDB, and ends the calls of dead processes.

        Args:
            wait: wait for another process that is ingesting. Otherwise the report's ``ran`` is false.
            largest: stop in front of an event of more bytes. None for no limit.

        Returns:
            The fields of ``IngestReport``.
        """

    @property
    def read_only(self) -> bool:
        """Whether this user can only read the journal. Then nothing is ingested."""

    def waiting_events(self) -> int:
        """The number of events in the spool that are not in the store."""

    def stats(self) -> dict[str, Any]:
        """The fields of ``Stats`` without ``sinks``; ``oldest_unsent`` is in ms since the epoch."""

    def quota(self) -> dict[str, Any]:
        """The fields of ``Quota``, with ``max_age_ms`` in place of ``max_age``."""

    def set_quota(self, max_bytes: int | None, max_age_ms: int | None, policy: str) -> None:
        """Limits the journal. None stands for no limit.

        Raises:
            ValueError: ``policy`` is neither ``keep-unsent`` nor ``drop-oldest``.
        """

    def compact(self) -> dict[str, Any]:
        """Enforces the quota, and gives free pages back to the file system.

        Returns:
            The fields of ``CompactReport``.

        Raises:
            JournalError: the disk has no room for the copy; nothing was changed.
        """

    def backup(self, target: str) -> dict[str, Any]:
        """Writes a checked copy of the journal to a new or empty directory.

        Returns:
            ``check`` (the fields of ``CheckReport``), ``bytes``, ``segments``, ``digest`` and ``skipped``.

        Raises:
            JournalFormatError: the directory exists and is not empty.
            JournalLocked: another process makes a backup there.
            JournalError: the disk has too little space, or the copy failed. No copy is left.
        """

    def forget(self, record_ids: Sequence[bytes], request_ids: Sequence[int]) -> dict[str, Any]:
        """Removes the content of records from every file, and finishes a removal that was interrupted.

        Args:
            record_ids: the records. An id that no record has is left out of the result.
            request_ids: request ids without a record, whose follow-ups are removed.

        Returns:
            ``records``, ``followups``, ``frames``, ``before``, ``after``, ``skipped``, ``unreadable`` and
            ``has_leftovers``, ``lacks_room``, from which ``ForgetReceipt`` is made.

        Raises:
            JournalError: the disk has no room for the copy. The records have no content, and the files still do.
        """

    def check(self) -> dict[str, Any]:
        """Verifies every frame and every record. Changes nothing. Returns the fields of ``CheckReport``."""

    # --- the servers ---

    def secret(self) -> bytes:
        """16 random bytes of this journal, for the hash of URL and API key. Made at the first call."""

    def bind(
        self, url: str, account: bytes, *, is_stand_in: bool = False, how: str = "refuse"
    ) -> dict[str, Any] | None:
        """Binds the journal to a server and an API key. The caller holds ``sync.lock``.

        Args:
            url: the base URL as it may be shown.
            account: the 16 bytes of the hash of URL and API key.
            is_stand_in: the server is a stand-in. Stand-ins count as one server.
            how: ``refuse``: stay with another server that has records. ``rotate``: the key is a new one of the same
                workspace. ``leave``: go to another workspace; records in doubt stay with the old server.

        Returns:
            None, or the fields of the server with which the journal stays.

        Raises:
            ValueError: ``how`` is another word, or ``account`` is not 16 bytes.
        """

    def servers(self) -> list[dict[str, Any]]:
        """The servers of this journal, with the fields of ``Server``."""

    def withdraw(self, server_ids: Sequence[int], now_ms: int, reason: str) -> dict[str, int]:
        """Makes the records that these servers have, or may have, pending again. The caller holds ``sync.lock``.

        Args:
            server_ids: numbers of servers; 0 for request ids without a server.
            now_ms: the time, in ms since the epoch.
            reason: stored with each record.

        Returns:
            The numbers of ``records`` that are pending now, and of ``pruned`` and ``busy`` ones that stay.
        """

    def set_last_run(self, report: bytes) -> None:
        """Replaces the report of the last run in ``stats``."""

    # --- the outbox ---

    def lease(
        self,
        limit: int,
        lease_ms: int,
        now_ms: int,
        max_bytes: int = 4 << 20,
        *,
        per_lane: int | None = None,
        bytes_per_lane: int | None = None,
        per_tree: int | None = None,
        bytes_per_tree: int | None = None,
        fitting: bool = False,
    ) -> list[Row]:
        """Leases records that have ended and are due, in order: pending becomes leased.

        A lane with an earlier record that is leased, in doubt or waiting gives none.

        Args:
            limit: the maximum number of records.
            lease_ms: the length of the lease, in ms.
            now_ms: the current time.
            max_bytes: the maximum number of bytes of bodies. The first record may be larger.
            per_lane: the maximum number of records of one lane; ``limit`` by default.
            bytes_per_lane: about the maximum number of bytes of one lane; ``max_bytes`` by default.
            per_tree: the most records of a tree that is leased whole. The default is ``limit``.
            bytes_per_tree: the most bytes of such a tree, also above the other limits. The default is ``max_bytes``.
            fitting: the first record may not be larger than ``max_bytes`` either.
        """

    def tree_rests(self, roots: Sequence[bytes]) -> list[tuple[bool, list[int]]]:
        """For each tree, whether its root has ended, and its ended records that are neither acked, dead nor held.

        Args:
            roots: ids of roots.
        """

    def set_tree_wait(self, wait_ms: int) -> None:
        """Sets how long ended records wait for the end of their tree's root, for all leases of this process."""

    def has_due(self, now_ms: int) -> bool:
        """Whether a record may be leased now, or its wait for the end of its root is over."""

    def orphan_leases(self, old_ms: int, due_ms: int) -> int:
        """Puts records that a dead sender had leased in doubt, and returns their number.

        Args:
            old_ms: records leased before this time are due at once.
            due_ms: when the other records are due.
        """

    def hub(self, key_id: bytes, replaced: bytes | None = None) -> int:
        """The number of the hub with a key of 8 bytes; ``replaced`` is the key that it had before."""

    def hubs(self) -> list[tuple[bytes, int]]:
        """The hubs: the id of each key, and the hub's number."""

    def carriable(self, hub: int, choice: str) -> tuple[list[tuple[int, bool, int, bool]], int]:
        """The records for a hub (number, doubt, round, carried before), and the number of calls without an end."""

    def begin_bundle(
        self, bundle: dict[str, Any], seqs: bytes | list[int], followups: list[tuple[bytes, bytes]]
    ) -> None:
        """Store a bundle before its file is made. ``bundle`` has ``id``, ``serial``, ``part`` and ``hub``."""

    def bundle_written(self, id: bytes, followups: list[bytes]) -> None:
        """Make the records of a bundle carried. ``followups`` are the ids of its follow-ups."""

    def repeat(self) -> int | None:
        """In how many exports each record goes out; None where a hub confirms them."""

    def set_repeat(self, repeat: int | None) -> None:
        """Set in how many exports each record goes out, from 1 to 127."""

    def bundle_failed(self, id: bytes) -> None:
        """Remove a bundle whose file could not be written."""

    def bundles(self) -> list[dict[str, Any]]:
        """The bundles that this journal has written."""

    def receive_bundles(self, ids: list[bytes]) -> int:
        """Make the records of bundles received. Returns how many were not."""

    def place(self, hub: int) -> dict[str, Any] | None:
        """How far the log of a hub was read."""

    def orphans(self) -> list[dict[str, Any]]:
        """Request ids that no record takes."""

    def take_back(self) -> int:
        """Put carried and received records in doubt. Returns how many."""

    def arrived(self) -> list[dict[str, Any]]:
        """The bundles that arrived at this hub."""

    def holes(self) -> list[dict[str, Any]]:
        """The bundles that did not."""

    def raise_rounds(self, rounds: list[tuple[bytes, int]]) -> int:
        """Requeue refused records whose round is higher than before. Returns how many."""

    def log_chain(self, number: int) -> bytes | None:
        """The chain hash of the log after an entry."""

    def update_log(self) -> tuple[bytes, int, int] | None:
        """Append all news to the log. Returns its epoch, its last number, and the last one that the origin has read."""

    def in_doubt(self, limit: int, now_ms: int) -> list[Row]:
        """Up to ``limit`` records in doubt that are due."""

    def ack(self, acks: Sequence[tuple[int, int | None]]) -> int:
        """Stores request ids and queues the callbacks. Returns the number of records that were not acked before.

        Args:
            acks: pairs of a record's number and its request id. A record keeps its first request id. A run that is
                not a call has None, and is acked without one. A call with None stays as it is.
        """

    def release(self, seqs: Sequence[int], not_before: int, error: str) -> None:
        """Makes leased records and records in doubt pending again, due at ``not_before``."""

    def park(self, seqs: Sequence[int], state: int, error: str, not_before: int = 0) -> None:
        """Puts records in doubt, or makes them dead or held.

        Raises:
            ValueError: another state.
        """

    def renew(self, seqs: Sequence[int], error: str) -> None:
        """Makes records in doubt pending, with FLAG_RENEWED: they are sent under a second trace id."""

    def next_due(self, now_ms: int, *, growing: bool = True) -> int | None:
        """When the next waiting record is due: to be sent, to be looked up, or with its lease expired.

        Args:
            now_ms: the time, in ms since the epoch.
            growing: also records that wait for the end of their tree's root.
        """

    def is_unsettled(self, seq: int) -> bool:
        """Whether a record up to this number has ended, and is not acked, dead or held."""

    def shift_waits(self, before_ms: int, after_ms: int, longest_ms: int) -> int:
        """Moves the waits of records after the clock was set, and returns their number.

        Args:
            before_ms, after_ms: the time before and after the clock was set.
            longest_ms: the longest wait, in ms from ``after_ms``.
        """

    def requeue(self, seqs: Sequence[int]) -> int:
        """Makes dead and held records pending, due at once, and returns their number."""

    def acks(self, after: int, limit: int) -> list[tuple[int, Row]]:
        """Up to ``limit`` acked records in the order of their acks, each with the number of its ack.

        Args:
            after: the number of an ack, exclusive. Acks are numbered from 1 without gaps.
            limit: the maximum number of records.
        """

    def last_ack(self) -> int:
        """The number of the newest ack; 0 when there is none."""

    # --- follow-ups; the follow-ups of one record are sent in order ---

    def follow_up(
        self, op: str, payload: bytes, *, record_id: bytes | None = None, request_id: int | None = None
    ) -> int | None:
        """Queues a follow-up, and returns its number; None when there is no such record.

        Args:
            op: ``score``, ``metadata``, ``prompt`` or ``group``.
            payload: the JSON body for PromptLayer, without the request id.
            record_id: the record that it is about.
            request_id: the request that it is about. If a record of the journal has this id, it is about the record.

        Raises:
            ValueError: another ``op``, or not exactly one of ``record_id`` and ``request_id``.
            InvalidFollowUp: ``payload`` has more than 1 MiB.
        """

    def followups(self, *, record_id: bytes | None = None, request_id: int | None = None) -> list[FollowUp]:
        """The follow-ups of a record or a request that wait or are dead, in order.

        Raises:
            ValueError: not exactly one of ``record_id`` and ``request_id``.
        """

    def sent_followups(self, *, record_id: bytes | None = None, request_id: int | None = None) -> list[FollowUp]:
        """The sent follow-ups of a record or a request, in order.

        Raises:
            ValueError: not exactly one of ``record_id`` and ``request_id``.
        """

    def list_followups(self, state: str, before: bytes | None = None, limit: int = 100) -> list[FollowUp]:
        """Follow-ups of one state: first of bare requests, then of records, the newest first.

        Args:
            state: ``pending``, ``dead`` or ``sent``.
            before: the key of the last follow-up that the caller has; None for the first page.
            limit: the maximum number of follow-ups.

        Raises:
            ValueError: another state.
        """

    def dead_followups(self, limit: int = 100) -> list[FollowUp]:
        """Up to ``limit`` follow-ups that PromptLayer refused."""

    def claim_followups(self, limit: int, lease_ms: int, now_ms: int, max_bytes: int = 4 << 20) -> list[FollowUp]:
        """Leases due follow-ups whose request id is known, in order within each record or request.

        Args:
            limit: the maximum number of records and requests.
            lease_ms: the length of the lease, in ms. The follow-ups are due again after it.
            now_ms: the current time.
            max_bytes: the maximum number of bytes of payloads. The first may be larger.
        """

    def followups_done(self, done: Sequence[tuple[bytes, int]], now_ms: int) -> None:
        """Stores that PromptLayer has these follow-ups.

        Args:
            done: the key of each, and the HTTP status of the response.
            now_ms: when the response came.
        """

    def followups_failed(self, failed: Sequence[FailedFollowUp]) -> None:
        """Makes claimed follow-ups pending again, or dead."""

    def release_followups(self, keys: Sequence[bytes]) -> None:
        """Gives back claimed follow-ups that were not sent. They are due at once."""

    def requeue_followups(self, *, record_id: bytes | None = None, request_id: int | None = None) -> int:
        """Makes dead follow-ups pending, due at once: of one record or request, or all. Returns their number.

        Raises:
            ValueError: both ``record_id`` and ``request_id``.
        """

    def resend_followups(self, *, record_id: bytes | None = None, request_id: int | None = None) -> int:
        """Makes the sent follow-ups of a record or request wait again, due at once. Returns their number.

        Raises:
            ValueError: not exactly one of ``record_id`` and ``request_id``.
        """

    def next_followup_due(self) -> int | None:
        """When a follow-up may be sent next: ms since the epoch, 0 for at once, None when none may be sent."""

    def shift_followup_waits(self, before_ms: int, after_ms: int, longest_ms: int) -> int:
        """Like ``shift_waits``, for follow-ups."""

# --- callbacks ---

@final
class ClaimedCallback:
    """A request id that is leased to the caller, for delivery to a sink."""

    @property
    def seq(self) -> int:
        """The record's number. With the sink it identifies the entry."""

    @property
    def attempts(self) -> int:
        """Deliveries that were started before."""

    @property
    def row(self) -> Row:
        """The record, with its request id."""

@final
class FailedCallback:
    """The result of a call of a sink that failed."""

    def __new__(cls, seq: int, error: str, not_before: int, dead: bool) -> FailedCallback: ...
    @property
    def seq(self) -> int:
        """The record's number."""

    @property
    def error(self) -> str:
        """Why the delivery failed."""

    @property
    def not_before(self) -> int:
        """When to deliver again, in ms since the epoch."""

    @property
    def dead(self) -> bool:
        """Whether the request id is never delivered again."""

@final
class CallbackQueue:
    """Request ids of an open journal that wait for their sinks. Each method is one transaction.

    ``writer`` is the caller's writer id, or None for a process that records nothing. A process receives the ids of its
    own records, and those of dead processes. ``rust/python/src/store/callbacks.rs`` implements this class.
    """

    def __new__(cls, store: Store) -> CallbackQueue: ...
    def due(self, writer: bytes | None, now_ms: int) -> tuple[list[str], int | None]:
        """The sinks with an id that is due, and when the next of the other ids is due."""

    def claim(self, sink: str, writer: bytes | None, limit: int, lease_ms: int, now_ms: int) -> list[ClaimedCallback]:
        """Leases due ids of a sink. An id with an earlier attempt comes alone.

        Args:
            sink: the name of the sink.
            writer: as above.
            limit: the maximum number of ids. Beyond the first, their records have bodies of at most 4 MiB.
            lease_ms: the length of the lease, in ms.
            now_ms: the current time.
        """

    def extend(self, sink: str, seqs: Sequence[int], lease_until: int) -> None:
        """Extends the leases of claimed ids to ``lease_until``, in ms since the epoch."""

    def settle(
        self,
        sink: str,
        done: Sequence[int] = ...,
        failed: Sequence[FailedCallback] = ...,
        released: Sequence[int] = ...,
    ) -> None:
        """Stores the results of claimed ids.

        Args:
            sink: the name of the sink.
            done: numbers of records whose ids were delivered; they are removed.
            failed: deliveries that failed; they wait, or are dead.
            released: numbers of records whose ids were not delivered; they are due at once.
        """

    def waiting(self) -> list[dict[str, Any]]:
        """The sinks with ids that wait or are dead, each with the fields of ``plsync.journal.reports.SinkBacklog``."""

    def subscribe(self, sink: str) -> None:
        """Queues every future ack for a sink. A sink that has them already keeps its position."""

    def requeue(self, sink: str) -> int:
        """Makes the dead ids of a sink due at once, with no attempts. Returns their number."""

    def drop(self, sink: str) -> int:
        """Removes all ids of a sink, and queues no future ack for it. Returns the number of removed ids."""

# --- watching and salvage ---

@final
class Watch:
    """Notices that another process wrote to a journal."""

    def __new__(cls, path: str) -> Watch:
        """Watches the journal at ``path``.

        Raises:
            JournalError: the journal does not exist, or can't be watched.
        """

    def descriptor(self) -> int | None:
        """A file descriptor that becomes readable after a change; None on systems where the caller has to poll."""

    def poll(self) -> tuple[bool, bool]:
        """Whether there may be new events, and new request ids, since the last poll. Never waits."""

# --- the gate for files that Python opens; a refusal is a PermissionError ---

def open_file(
    path: str, *, write: bool = False, create: bool = False, any_owner: bool = False, journal: bool = False
) -> int:
    """Opens a regular file and returns its file descriptor. Follows no link, and waits for no FIFO.

    Args:
        path: the file, in a directory that was admitted.
        write: open it for reading and writing. A file with a second name (hard link) is refused.
        create: as ``write``, and create a missing file with mode 0600.
        any_owner: open it for reading, even if another user owns it.
        journal: it is a file of a journal. In a shared journal its group may use it.

    Raises:
        OSError: the file is missing or cannot be opened.
        PermissionError: it is no regular file, or other users control it.
    """

def admit_directory(path: str, *, look: bool = False, journal: bool = False) -> None:
    """Checks the owner and the mode of a directory that the user named.

    Args:
        path: the directory, or a link to it.
        look: whether root may use the directory of another user.
        journal: it is a journal, which may be shared with a group.

    Raises:
        OSError: the directory is missing or cannot be opened.
        PermissionError: another user owns it, or other users can write to it.
    """

def check_directory(path: str) -> None:
    """Checks a directory inside an admitted directory. Raises OSError like ``admit_directory``, also for a link."""

def ensure_directory(path: str) -> None:
    """Makes a directory inside a journal with the rights of the journal, or checks the one that is there.

    Raises:
        OSError: it cannot be made.
        PermissionError: it is a link or no directory, or other users control it.
    """

def salvage(source: str, target: str) -> dict[str, Any]:
    """Reads a damaged journal into a new one, in this process.

    Args:
        source: the damaged journal; it is not changed.
        target: the directory of the new journal.

    Returns:
        The fields of ``plsync.journal.reports.SalvageReport``.

    Raises:
        JournalNotFound: there is no journal at ``source``.
        JournalFormatError: ``target`` exists.
    """

def share(path: str, group: int | None) -> dict[str, Any]:
    """Shares a journal with a group, or makes it private.

    Args:
        path: the journal, which is made if there is none.
        group: the number of the group; None makes the journal private.

    Returns:
        The fields ``previous`` and ``changed`` of ``plsync.journal.sharing.ShareReport``.

    Raises:
        JournalFormatError: the directory is not a journal.
        JournalError: this user may not change the group of a file; nothing was changed.
    """
