"""``plsync run`` with a key in a file: read at the start, after a refusal, and on SIGHUP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plsync._common.clock import now_ms
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.testing import PromptLayerServer
from tests.delivery.test_run import COMMAND, environment
from tests.support import programs
from tests.support.calls import states, wait_until, write_calls


@pytest.fixture
def key_file(tmp_path: Path, server: PromptLayerServer) -> Path:
    file = tmp_path / "key"
    file.write_text(f"{server.api_key}\n")
    file.chmod(0o600)
    return file


def settings(path: Path, server: PromptLayerServer, key_file: Path, **more: str) -> dict[str, str]:
    return environment(path, server, PROMPTLAYER_API_KEY="", PROMPTLAYER_API_KEY_FILE=str(key_file), **more)


def run_once(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return programs.run([*COMMAND, "--once"], env=env, capture_output=True, text=True, timeout=60, check=False)


def replace(file: Path, content: str) -> None:
    new = file.with_name("new")
    new.write_text(content)
    new.chmod(0o600)
    new.replace(file)


def test_the_link_of_a_mounted_secret_is_followed(path: Path, server: PromptLayerServer, tmp_path: Path) -> None:
    # Kubernetes mounts key -> ..data/key, and ..data -> ..2026_11_30.
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "key").write_text(server.api_key)
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "secret").symlink_to("..data/key")
    write_calls(path, 1)
    done = run_once(settings(path, server, tmp_path / "secret"))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(server.request_logs) == 1


def test_a_file_that_others_can_write_to_is_refused(path: Path, server: PromptLayerServer, key_file: Path) -> None:
    write_calls(path, 1)
    key_file.chmod(0o666)
    done = run_once(settings(path, server, key_file))
    assert done.returncode == 1
    assert "cannot be read (it can be written" in done.stderr
    assert server.requests == []


def test_a_refused_key_ends_a_run_that_runs_once(path: Path, server: PromptLayerServer, key_file: Path) -> None:
    write_calls(path, 1)
    key_file.write_text("pl_wrong")
    done = run_once(settings(path, server, key_file))
    assert done.returncode == 1
    assert f"write a valid key to {key_file}" in done.stderr


def test_a_run_waits_for_a_new_key_after_a_refusal(path: Path, server: PromptLayerServer, key_file: Path) -> None:
    write_calls(path, 2)
    key_file.write_text("pl_wrong_key_of_the_file")
    env = settings(path, server, key_file)
    with programs.Popen(COMMAND, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: len(server.requests) >= 1)
        replace(key_file, "")  # a file that is being written
        replace(key_file, f"{server.api_key}\n")
        wait_until(lambda: set(states(path).values()) == {"acked"}, 30)
        process.terminate()
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert f"the file {key_file} has a new key" in output
    assert "pl_wrong_key" not in output + errors
    assert server.api_key not in output + errors


def test_a_key_that_changed_before_the_refusal_costs_no_pause(
    path: Path, server: PromptLayerServer, key_file: Path
) -> None:
    write_calls(path, 1)
    env = settings(path, server, key_file)
    with programs.Popen(COMMAND, env=env, stdout=subprocess.PIPE, text=True) as process:
        wait_until(lambda: set(states(path).values()) == {"acked"})
        server.api_key = "pl_the_second_key"
        replace(key_file, server.api_key)
        write_calls(path, 1)
        wait_until(lambda: set(states(path).values()) == {"acked"})
        process.terminate()
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Trying again" not in output


def test_a_run_waits_for_the_key_of_its_workspace(path: Path, key_file: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    with Journal.open(path) as journal, PromptLayerClient("pl_other", server.url) as client:
        account = client.account(journal.outbox.secret())
        # A record went to another workspace of this server.
        journal.outbox.bind(client.url, account)
        journal.ingest(wait=True)
        (record,) = journal.outbox.lease(1, 1000, now_ms())
        journal.outbox.ack([(record.seq, 1)])
    write_calls(path, 1)
    env = settings(path, server, key_file)
    assert run_once(env).returncode == 1
    with programs.Popen(COMMAND, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "the API key is of another workspace" in process.stdout.readline()
        server.api_key = "pl_other"
        replace(key_file, server.api_key)
        wait_until(lambda: set(states(path).values()) == {"acked"}, 30)
        process.terminate()
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors.count("plsync: ")) == (0, 1), output + errors
    assert len(server.request_logs) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_sighup_reads_the_file_again(path: Path, server: PromptLayerServer, key_file: Path) -> None:
    write_calls(path, 1)
    env = settings(path, server, key_file)
    with programs.Popen(
        COMMAND, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        wait_until(lambda: set(states(path).values()) == {"acked"})
        process.send_signal(signal.SIGHUP)
        lines = iter(process.stdout.readline, "")
        assert next(line for line in lines if "again" in line).endswith(f"the file {key_file} has the same key.\n")
        replace(key_file, "pl_another_key_of_mine")
        process.send_signal(signal.SIGHUP)
        assert next(line for line in lines if "again" in line).endswith(f"the file {key_file} has a new key.\n")
        key_file.unlink()
        process.send_signal(signal.SIGHUP)
        assert "cannot be read (No such file" in next(line for line in lines if "again" in line)
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_the_end_of_a_terminal_ends_a_run_with_a_key_file(
    path: Path, server: PromptLayerServer, key_file: Path
) -> None:
    write_calls(path, 1)
    leader, terminal = os.openpty()
    # The terminal that the leader of a session opens becomes its controlling terminal.
    command = [sys.executable, "-c", f"import os; os.open({os.ttyname(terminal)!r}, os.O_RDWR); {COMMAND[2]}", "run"]
    env = settings(path, server, key_file)
    with programs.Popen(command, env=env, stdout=terminal, stderr=terminal, start_new_session=True) as process:
        os.close(terminal)
        wait_until(lambda: set(states(path).values()) == {"acked"})
        os.close(leader)
        assert process.wait(30) == 0
