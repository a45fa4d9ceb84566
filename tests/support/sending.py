"""Sends the records of a journal, as ``plsync run --once`` does, in one process."""

from __future__ import annotations

from pathlib import Path

from plsync.delivery.followups import FollowUpReport, FollowUps
from plsync.delivery.policy import Policy
from plsync.delivery.sender import Engine, Pass
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.testing import PromptLayerServer


def send_once(path: Path, server: PromptLayerServer) -> tuple[Pass, FollowUpReport]:
    """One pass over the records, then over the follow-ups."""
    with Journal.open(path) as journal, PromptLayerClient(server.api_key, server.url) as client:
        policy = Policy(settle=0.0)
        return Engine(journal, client, policy).run_pass(), FollowUps(journal, client, policy).send_due()
