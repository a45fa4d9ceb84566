"""Recorded requests once more, to another model, and the comparison of its answers with the recorded ones.

``docs/guide/rerun.md`` describes it. The answers are ordinary records of a second journal. Their metadata has the id of
the recorded call (``rerun_of``) and the name of the model (``rerun_model``).
"""

from plsync.rerun.answers import Answer
from plsync.rerun.comparison import Comparison, Judge, Sums, compare
from plsync.rerun.model import make_model
from plsync.rerun.originals import JournalOriginals, Original, Originals, RecordingOriginals
from plsync.rerun.reruns import MODEL, ORIGINAL, newest_rerun_ids, newest_reruns
from plsync.rerun.run import Rerun, RerunReport

__all__ = [
    "MODEL",
    "ORIGINAL",
    "Answer",
    "Comparison",
    "JournalOriginals",
    "Judge",
    "Original",
    "Originals",
    "RecordingOriginals",
    "Rerun",
    "RerunReport",
    "Sums",
    "compare",
    "make_model",
    "newest_rerun_ids",
    "newest_reruns",
]
