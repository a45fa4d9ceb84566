"""Sends the records of a journal, as ``plsync run --once`` does, in one process."""

from __future__ import annotations

from pathlib import Path

from plsync.delivery.followups import FollowUpSender
from plsync.delivery.policy import SendPolicy
from plsync.delivery.reports import FollowUpReport, PassReport
from plsync.delivery.sender import Sender
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.testing import PromptLayerServer


def send_once(path: Path, server: PromptLayerServer) -> tuple[PassReport, FollowUpReport]:
    """One pass over the records, then over the follow-ups."""
    with Journal.open(path) as journal, PromptLayerClient(server.api_key, server.url) as client:
        policy = SendPolicy(settle=0.0)
        return Sender(journal, client, policy).run_pass(), FollowUpSender(journal, client, policy).send_due()
