"""The Rust core: the recorder (hot path) and the store (everything else).

Private: programs use ``plsync.PromptLayerCallbackHandler`` and ``plsync.Journal``. Constants and byte layouts are
specified in ``docs/reference/format.md``.
"""

from collections.abc import Callable, Sequence
from typing import Any, final
from uuid import UUID

from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from typing_extensions import Self

__version__: str

# Sync states of a record, as stored.
STATE_PENDING: int  # 0
STATE_LEASED: int  # 1
STATE_IN_DOUBT: int  # 2
STATE_ACKED: int  # 3
STATE_DEAD: int  # 4
STATE_HELD: int  # 5

# How a call ended, as stored. 0: it has not.
END_NONE: int  # 0
END_OK: int  # 1
END_ERROR: int  # 2
END_CANCELLED: int  # 3
END_PARTIAL: int  # 4
END_ABANDONED: int  # 5: its process is gone and left no end

# Bits of an event's flags.
FLAG_CACHED: int  # 1: answered from a LangChain cache
FLAG_LOSSY: int  # 2: a value could only be kept approximately
FLAG_REDACTED: int  # 4: a redact hook or content=False changed or removed content
FLAG_PRUNED: int  # 8: the quota removed the record's bodies
FLAG_RENEWED: int  # 16: sent as a second trace, since PromptLayer made no log of the first

@final
class Recorder:
    """Writes events of one process into its spool segments. Thread-safe, fork-aware, never opens LMDB or a socket.

    Opening is lazy: the first event creates the segment.
    """

    def __new__(
        cls,
        path: str,
        durability: str = "process",
        *,
        pl_tags: list[str] = ...,
        sink: str | None = None,
        redact: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None,
    ) -> Recorder:
        """Raises ValueError for another durability than "process" or "power"."""

    # What the handler calls for decision models and failures; none of these raises. `rest` holds LangChain's name,
    # invocation_params and options.
    def decision_start(
        self,
        serialized: Any,
        inputs: Any,
        run_id: UUID,
        parent_run_id: UUID | None,
        tags: Any,
        metadata: Any,
        rest: dict[str, Any],
    ) -> None: ...
    def is_open(self, run_id: UUID) -> bool: ...
    def decision_end(self, outputs: Any, run_id: UUID, parent_run_id: UUID | None) -> None:
        """Ignored unless a decision model's run is open under this id."""

    def fail(
        self,
        ended: int,
        error: dict[str, Any],
        generations: list[Any],
        decision: bool,
        run_id: UUID,
        parent_run_id: UUID | None,
    ) -> None: ...
    def note_failure(self, reason: str) -> None:
        """Counts an event that could not be recorded; warns once a process."""

    def append(self, payload: bytes, *, record_id: bytes | None = None) -> bytes:
        """Write raw bytes as one opaque event; returns the 16-byte id. For benches and crash tests."""

    def flush(self) -> None:
        """Force every event written so far by this process to disk (fdatasync). Raises JournalError."""

    @property
    def writer_id(self) -> bytes:
        """16 bytes, unique to this process and journal (a forked child has another)."""

    @property
    def failures(self) -> int:
        """Events of this process that could not be recorded."""

class Callbacks:
    """LangChain's callbacks for models, for a handler that derives from this: an event costs no frame of Python.

    Raise RuntimeError before ``_attach``, and whatever ``started`` raises; a failure to record never shows.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def _attach(self, recorder: Recorder, started: Callable[[], object] | None) -> None:
        """Says where to record, and what to call after each start. Raises RuntimeError the second time."""

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
        """A chat model begins."""

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
        """A text model begins."""

    def on_llm_new_token(self, token: str | list[str | dict[str, Any]], *, run_id: UUID, **kwargs: Any) -> None:
        """A piece of the answer has come; only its time is kept, the text is in the end."""

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """As ``on_llm_new_token``, for providers that stream without token callbacks."""

    def on_llm_end(
        self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A model of either kind has answered."""

@final
class Row:
    """One record as stored: fixed fields, and the JSON bodies of its events."""

    @property
    def id(self) -> bytes: ...  # 16 bytes, UUIDv7
    @property
    def seq(self) -> int: ...  # dense, in ingest order
    @property
    def state(self) -> int: ...  # STATE_*
    @property
    def ended(self) -> int: ...  # END_*
    @property
    def flags(self) -> int: ...  # FLAG_* bits
    @property
    def attempts(self) -> int: ...
    @property
    def last_error(self) -> str | None: ...
    @property
    def sink(self) -> str | None: ...
    @property
    def writer(self) -> bytes: ...
    @property
    def start(self) -> bytes | None: ...  # JSON body of the start event, None for an end without a start
    @property
    def end(self) -> bytes | None: ...  # JSON body of the end event
    @property
    def size(self) -> int: ...  # bytes of both bodies
    @property
    def damage(self) -> str | None: ...  # why a body could not be read; it is then None
    @property
    def request_id(self) -> int | None: ...
    @property
    def acked_at(self) -> int | None: ...  # ns since the epoch
    @property
    def lane(self) -> int: ...  # records of one lane are sent in order; 0 keeps none
    @property
    def changed_at(self) -> int: ...  # ms since the epoch; when the state last changed
    @property
    def not_before(self) -> int | None: ...  # ms since the epoch; when a pending record is next due

@final
class FollowUp:
    """One follow-up as stored."""

    @property
    def key(self) -> bytes: ...  # 17 bytes that name it
    @property
    def number(self) -> int: ...
    @property
    def op(self) -> str: ...  # score, metadata, prompt or group
    @property
    def payload(self) -> bytes: ...  # JSON, without the request id
    @property
    def record_id(self) -> bytes | None: ...  # 16 bytes; None for a request that the journal does not know
    @property
    def request_id(self) -> int | None: ...
    @property
    def dead(self) -> bool: ...
    @property
    def attempts(self) -> int: ...  # that failed
    @property
    def due(self) -> int: ...  # ms since the epoch; 0: always was
    @property
    def queued_at(self) -> int: ...  # ms since the epoch
    @property
    def last_error(self) -> str | None: ...

@final
class Store:
    """An open journal: LMDB plus the spool directory. Thread-safe; one per process and path is shared."""

    def __new__(cls, path: str, *, create: bool = True, force: bool = False) -> Store:
        """Raises JournalNotFound (create=False), JournalFormatError, JournalError (permission, corrupt, a network file
        system unless ``force``)."""

    @property
    def path(self) -> str: ...
    def journal_id(self) -> str:
        """32 hex digits."""

    def ingest(self, *, wait: bool = False) -> dict[str, Any]:
        """Move what every segment holds into LMDB; remove segments that are done; sweep calls of dead processes.

        Returns {"ran": bool (False: another process is ingesting and wait is False), "frames": int, "records": int,
        "duplicates": int, "abandoned": int, "segments_removed": int, "damage": [{"segment", "offset", "reason"}]}.
        """

    def get(self, record_id: bytes) -> Row | None: ...
    def resolve(self, nibbles: str, limit: int = 2) -> list[bytes]:
        """Record ids whose 32-digit lower-case hex form starts with ``nibbles``, oldest first."""

    def by_label(self, kind: str, value: bytes, limit: int = 100) -> list[bytes]:
        """Record ids carrying a label, newest first. Kinds: 'r' run id, 'p' parent run id, 't' tag, 'm' model."""

    def by_request(self, request_id: int) -> bytes | None: ...
    def query(
        self,
        *,
        labels: Sequence[tuple[str, bytes]] = (),
        states: Sequence[int] | None = None,
        ended: Sequence[int] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        before: bytes | None = None,
        after: bytes | None = None,
        oldest_first: bool = False,
        limit: int = 100,
    ) -> list[Row]:
        """A page of records by start time. since/until: ms since the epoch, [since, until). text: a substring of the
        stored JSON bodies, ASCII case ignored. before/after: exclusive record ids, for paging."""

    def follow(self, seq: int, limit: int = 100) -> list[Row]:
        """Records with a sequence number above ``seq``, in order; for ``tail -f``."""

    def last_seq(self) -> int: ...
    def short_id_length(self, record_id: bytes) -> int:
        """How many hex digits of this id tell it from every other in the journal."""

    def stats(self) -> dict[str, Any]:
        """{"format": int, "journal_id": str, "records": int, "open": int, "states": {name: int}, "opaque": int,
        "callbacks": int,
        "callbacks_dead": int, "callback_error": str|None, "followups": int, "followups_stranded": int (of those,
        of dead or held records), "followups_dead": int, "followup_error": str|None,
        "spool": {"segments": int, "bytes": int}, "lmdb_bytes": int,
        "used_bytes": int, "raw_bytes": int, "stored_bytes": int, "pruned": int, "dropped": int, "quota": as quota(),
        "failures": int, "last_failure": str|None,
        "damaged": int, "damage": [str], "writers": [{"writer": hex, "pid": int, "started_ms": int, "alive": bool,
        "failures": int, "events": int}], "oldest_unsent": int|None (ms)}."""

    def quota(self) -> dict[str, Any]:
        """{"max_bytes": int|None, "max_age_ms": int|None, "policy": "keep-unsent"|"drop-oldest"}."""

    def set_quota(self, max_bytes: int | None, max_age_ms: int | None, policy: str) -> None:
        """Raises ValueError for another policy."""

    def compact(self) -> dict[str, Any]:
        """Enforce the quota and give space back. {"before": int, "after": int, "pruned": int, "dropped": int}."""

    def check(self) -> dict[str, Any]:
        """Verify every frame and record. {"frames": int, "records": int, "events": int,
        "problems": [{"where": str, "what": str, "kept": str}]}."""

    # --- sync: every call is one transaction ---
    def lease(
        self,
        limit: int,
        lease_ms: int,
        now_ms: int,
        max_bytes: int = 4 << 20,
        of_lane: int | None = None,
        lane_bytes: int | None = None,
    ) -> list[Row]:
        """pending -> leased, for closed records that are due, in order. Attempts is raised by one.

        Of a lane that keeps its order no more than of_lane (default: limit) and about lane_bytes (default: max_bytes),
        and none while earlier ones of it are leased, in doubt or put off. One record is always given.
        """

    def orphan_leases(self, old_ms: int, due_ms: int) -> int:
        """leased -> in_doubt, due at due_ms: their sender is gone. Those leased before old_ms at once. How many."""

    def in_doubt(self, limit: int, now_ms: int) -> list[Row]:
        """Records in doubt whose not_before has passed."""

    def ack(self, acks: Sequence[tuple[int, int]]) -> int:
        """[(seq, request_id)]: -> acked, with its ack, request index and callback entry, in one transaction.
        A record that is already acked keeps its first request id. Returns how many were newly acked."""

    def release(self, seqs: Sequence[int], not_before: int, error: str) -> None:
        """leased or in_doubt -> pending, due again at not_before (ms)."""

    def park(self, seqs: Sequence[int], state: int, error: str, not_before: int = 0) -> None:
        """-> in_doubt, dead or held, with the reason."""

    def renew(self, seqs: Sequence[int], error: str) -> None:
        """in_doubt -> pending, to be sent as a new trace: PromptLayer has the first one and will make no log of it."""

    def next_due(self, now_ms: int) -> int | None:
        """When the next record that waits for a moment is due (ms): to be sent or looked up, or its lease over."""

    def is_unsettled(self, seq: int) -> bool:
        """Whether a record up to this seq has ended and is still to be delivered: not yet acked, dead or held."""

    def mend_waits(self, before_ms: int, after_ms: int, longest_ms: int) -> int:
        """Move every wait along with a clock set from before to after; none then ends later than longest from now."""

    def requeue(self, seqs: Sequence[int]) -> int:
        """dead or held -> pending, due now. Returns how many moved."""

    # --- acks in the order they came, numbered from 1 without gaps ---
    def acks(self, after: int, limit: int) -> list[tuple[int, Row]]:
        """Acked records behind the ack with this number, each with the number of its own."""

    def last_ack(self) -> int:
        """The number of the ack that came last; 0 when there is none."""

    # --- follow-ups: of one record in order, of different ones side by side; one transaction a call ---
    def follow_up(
        self, op: str, payload: bytes, *, record_id: bytes | None = None, request_id: int | None = None
    ) -> int | None:
        """Queue one and return its number; None when there is no such record. A record's request id means the record.

        Raises ValueError (another op, not exactly one target) and InvalidFollowUp (more than 1 MiB)."""

    def followups(self, *, record_id: bytes | None = None, request_id: int | None = None) -> list[FollowUp]:
        """Those of a record or a request, in order, dead ones too."""

    def dead_followups(self, limit: int = 100) -> list[FollowUp]: ...
    def claim_followups(self, limit: int, lease_ms: int, now_ms: int, max_bytes: int = 4 << 20) -> list[FollowUp]:
        """Due ones whose request id is known: of up to ``limit`` records and requests, in order within each.

        They are due again after the lease."""

    def followups_done(self, keys: Sequence[bytes]) -> None:
        """Remove them."""

    def followups_failed(self, failures: Sequence[tuple[bytes, str, int, bool]]) -> None:
        """[(key, error, not_before in ms, dead)]: pending until then, or dead."""

    def release_followups(self, keys: Sequence[bytes]) -> None:
        """Claimed and not tried: due at once."""

    def requeue_followups(self, *, record_id: bytes | None = None, request_id: int | None = None) -> int:
        """dead -> pending, due now: of one record or request, or of all. Returns how many."""

    def next_followup_due(self) -> int | None:
        """ms since the epoch; 0: it always was; None: none may be sent."""

    def mend_followups(self, before: int, after: int, longest_ms: int) -> int:
        """Move waits along with a clock set from ``before`` to ``after`` (ms), none longer than ``longest_ms``."""

@final
class CallbackQueue:
    """Request ids on their way to their sinks, of an open journal. Each call is one transaction.

    Entries of a process that lives are given to that process only, which names itself by ``writer`` (None: a process
    that records nothing). Times are ms since the epoch.
    """

    def __new__(cls, store: Store) -> CallbackQueue: ...
    def due(self, writer: bytes | None, now_ms: int) -> tuple[list[str], int | None]:
        """Sinks with something due, and when the next of the others is."""

    def claim(
        self, sink: str, writer: bytes | None, limit: int, lease_ms: int, now_ms: int
    ) -> list[tuple[int, int, Row]]:
        """Due entries [(seq, deliveries tried before, row)], leased to the caller. At most ``limit``, with bodies of at
        most 4 MiB beyond the first; an entry that was tried before comes alone."""

    def extend(self, sink: str, seqs: Sequence[int], lease_until: int) -> None:
        """Keep claimed entries leased."""

    def settle(
        self,
        sink: str,
        done: Sequence[int] = ...,
        failed: Sequence[tuple[int, str, int, bool]] = ...,
        released: Sequence[int] = ...,
    ) -> None:
        """What became of claimed entries. done: removed; failed [(seq, error, not_before, dead)]: tried again then, or
        never; released: not tried after all, due at once."""

    def waiting(self) -> list[dict[str, Any]]:
        """[{"sink": str, "waiting": int, "owned": int (of these, of living processes), "pids": [int] (those),
        "dead": int, "last_error": str|None}]."""

    def give_every_ack(self, sink: str) -> None:
        """Queue every ack from now on for a sink; one that has them already goes on where it is."""

    def requeue(self, sink: str) -> int:
        """Dead entries are due now, and tried as often as new ones. Returns how many."""

    def drop(self, sink: str) -> int:
        """Remove all that waits for a sink, and give it no more acks. Returns how many ids it is not told."""

@final
class Watch:
    """Notices what other processes do to a journal, which has to exist."""

    def __new__(cls, path: str) -> Watch: ...
    def descriptor(self) -> int | None:
        """Readable when there is something to look at. None where the system has no such thing: look now and then."""

    def look(self) -> tuple[bool, bool]:
        """Since the last look: whether there may be events to take in, and new request ids. Never waits."""

def encode(object: Any, *, guarded: bool = False) -> tuple[bytes, bool]:
    """JSON bytes of any object in plsync's tagged form, and whether something could only be kept approximately.

    ``guarded``: what is a credential by its name, or may show one in its ``repr``, is replaced by ``[redacted]``.
    """

def untagged(event: bytes) -> bytes | None:
    """An event's JSON with messages and generations as the objects of their fields, as ``codec.plain`` would have them.

    None when it holds another tag, or is not JSON as handlers write it: ``codec.plain`` then.
    """

def salvage(source: str, target: str) -> dict[str, Any]:
    """Read a damaged journal into a new one, in this process. {"records": int, "events": int, "acks": int,
    "callbacks": int, "followups": int, "frames": int, "damaged": int, "lost": int, "losses": [str]}.

    Raises JournalNotFound, JournalFormatError (target exists).
    """

def new_id() -> bytes:
    """A new record id: UUIDv7, monotonic within the process."""

def span_id(record_id: bytes) -> str:
    """16 hex digits derived from a record id."""

_Default = Callable[[Any], Any]
