"""``plsync run`` with a configuration file: two servers, two keys, and no record at the wrong one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from plsync.delivery.lock import sole_sender
from plsync.journal import Journal
from plsync.testing import PromptLayerServer
from tests.delivery.test_run import COMMAND
from tests.support import programs
from tests.support.calls import states, wait_until, write_calls


@dataclass
class Machine:
    """Two workspaces, each with a server, a key in a file, a journal and calls in it."""

    directory: Path
    servers: dict[str, PromptLayerServer]
    keys: dict[str, str] = field(default_factory=dict)
    """Settings of keys in place of the files."""

    @property
    def config(self) -> Path:
        return self.directory / "config.toml"

    def journal(self, name: str) -> Path:
        return self.directory / f"journal-{name}"

    def key_file(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    def write_config(self, *names: str) -> None:
        self.config.write_text(
            "".join(
                f"[workspaces.{name}]\nbase_url = '{self.servers[name].url}'\n"
                f"{self.keys.get(name, f'key = {{ file = {self.key_file(name).name!r} }}')}\n"
                for name in names
            )
        )

    def environment(self) -> dict[str, str]:
        journal = str(self.directory / "journal")
        unset = {name: "" for name in ("PROMPTLAYER_API_KEY", "PROMPTLAYER_BASE_URL")}
        return {**os.environ, **unset, "PLSYNC_CONFIG": str(self.config), "PLSYNC_JOURNAL": journal}

    def plsync(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command, env = [*COMMAND[:-1], *arguments], self.environment()
        return programs.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    def output(self, *arguments: str) -> str:
        done = self.plsync(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.plsync("run", "--once", *options)

    def start(self, *options: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return programs.Popen(
            [*COMMAND, *options], env=self.environment(), stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def states(self, name: str) -> set[str]:
        return set(states(self.journal(name)).values())


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(PromptLayerServer(api_key=f"pl_the_key_of_{name}")) for name in ("red", "blue")
        }
        machine = Machine(tmp_path, servers)
        for name, server in servers.items():
            machine.key_file(name).write_text(f"{server.api_key}\n")
        machine.write_config("red", "blue")
        yield machine


def assert_all_arrived(machine: Machine, ids: dict[str, list[str]]) -> None:
    for name, server in machine.servers.items():
        expected = ids.get(name, [])
        assert sorted(log["metadata"]["plsync_id"] for log in server.request_logs) == sorted(expected)


def test_every_record_arrives_at_its_workspace_and_nowhere_else(machine: Machine) -> None:
    ids = {name: write_calls(machine.journal(name), 5) for name in machine.servers}
    done = machine.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert_all_arrived(machine, ids)
    for name, server in machine.servers.items():
        assert f"{name}: 5 records at {server.url} (a stand-in).\n" in done.stdout
        assert f"{name}: All delivered: 5 records.\n" in done.stdout
    # Behind the time of the line.
    assert all(line.split(" ", 1)[1].startswith(("red: ", "blue: ")) for line in done.stdout.splitlines())


def test_one_workspace_is_served_by_its_name(machine: Machine) -> None:
    ids = {name: write_calls(machine.journal(name), 2) for name in machine.servers}
    assert machine.run("--workspace", "red").returncode == 0
    assert_all_arrived(machine, {"red": ids["red"]})
    done = machine.run("--workspace", "green")
    assert done.returncode == 1
    assert "lists no workspace 'green', but red, blue" in done.stderr
    assert "lists no workspace 'green', but red, blue" in machine.plsync("list", "--workspace", "green").stderr
    assert not machine.journal("green").exists()


def test_the_journal_of_another_place_is_sent_to_a_workspace(machine: Machine, tmp_path: Path) -> None:
    ids = write_calls(tmp_path / "copied", 2)
    assert machine.run("--workspace", "blue", "--journal", str(tmp_path / "copied")).returncode == 0
    assert_all_arrived(machine, {"blue": ids})


WITHOUT_KEYS = {
    "missing": ("key = { file = 'missing' }", "the key file {directory}/missing cannot be read (No such file"),
    "unset": ("key = { variable = 'KEY_OF_BLUE' }", "KEY_OF_BLUE is not set"),
    "unnamed": ("", "[workspaces.unnamed] in {directory}/config.toml has no key"),
    "failing": ("key = { command = ['sh', '-c', 'exit 7'] }", "the key command 'sh' exited with 7"),
    "hanging": (
        "key = { command = ['sleep', '60'], timeout = 0.2 }",
        "the key command 'sleep' has not ended",
    ),
    "two-lines": ("key = { command = ['printf', 'a\\nb'] }", "the key command 'printf' has more than one line"),
    "refused": ("key = { command = ['echo', 'pl_wrong'] }", "{url} refused the API key"),
}


def test_a_workspace_without_its_key_stops_no_other_workspace(machine: Machine) -> None:
    blue = machine.servers["blue"]
    for name, (key, _) in WITHOUT_KEYS.items():
        write_calls(machine.journal(name), 1)
        machine.servers[name] = blue
        machine.keys[name] = key
    ids = write_calls(machine.journal("red"), 2)
    machine.write_config(*WITHOUT_KEYS, "red")
    done = machine.run()
    assert done.returncode == 1
    for name, (_, reason) in WITHOUT_KEYS.items():
        assert f"plsync: {name}: {reason.format(directory=machine.directory, url=blue.url)}" in done.stderr
        assert machine.states(name) == {"pending"}
    assert [log["metadata"]["plsync_id"] for log in machine.servers["red"].request_logs] == ids
    assert blue.request_logs == []


def test_a_workspace_without_a_record_is_no_failure(machine: Machine) -> None:
    ids = write_calls(machine.journal("red"), 1)
    done = machine.run()
    assert (done.returncode, done.stderr) == (
        0,
        f"plsync: blue: nothing is recorded in {machine.journal('blue')} yet\n",
    )
    assert_all_arrived(machine, {"red": ids})


def test_a_broken_journal_stops_no_other_workspace(machine: Machine) -> None:
    ids = write_calls(machine.journal("red"), 2)
    machine.journal("blue").mkdir(mode=0o700)
    (machine.journal("blue") / "FORMAT").write_text("not a journal")
    done = machine.run()
    assert done.returncode == 1
    assert f"plsync: blue: {machine.journal('blue')}" in done.stderr
    assert_all_arrived(machine, {"red": ids})


def test_work_that_is_left_in_one_workspace_is_the_exit_code(machine: Machine) -> None:
    for name in machine.servers:
        write_calls(machine.journal(name), 1)
    with machine.servers["blue"].offline():
        done = machine.run()
    assert done.returncode == 3
    assert "red: All delivered: 1 record.\n" in done.stdout
    assert "blue: Left: 1 record to send" in done.stdout


def test_json_names_the_workspace_of_each_event(machine: Machine) -> None:
    write_calls(machine.journal("red"), 1)
    machine.keys["blue"] = ""
    machine.write_config("red", "blue")
    Journal.open(machine.journal("blue"), create=True).close()
    done = machine.run("--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["workspace"] for event in events} == {"red", "blue"}
    assert [event["number"] for event in events if event["event"] == "acked"] == [1]
    assert [event["workspace"] for event in events if event["event"] == "error"] == ["blue"]


def test_a_running_workspace_gets_a_missing_key_and_a_signal_ends_all(machine: Machine) -> None:
    ids = {name: write_calls(machine.journal(name), 2) for name in machine.servers}
    machine.key_file("blue").unlink()
    with machine.start() as process:
        wait_until(lambda: machine.states("red") == {"acked"})
        machine.key_file("blue").write_text(machine.servers["blue"].api_key)
        wait_until(lambda: machine.states("blue") == {"acked"})
        process.terminate()
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert_all_arrived(machine, ids)
    assert errors.count("blue: the key file") == 1
    assert "the_key_of" not in output + errors


def test_a_server_or_command_that_hangs_delays_no_other_workspace_and_the_end_by_seconds(machine: Machine) -> None:
    machine.servers["green"] = machine.servers["blue"]
    machine.keys["green"] = "key = { command = ['sh', '-c', 'sleep 60'] }"
    machine.write_config("green", "blue", "red")
    machine.servers["blue"].hang(60, path="/spans-bulk", times=9)
    for name in machine.servers:
        write_calls(machine.journal(name), 2)
    with machine.start("--batch", "1") as process:
        wait_until(lambda: machine.states("red") == {"acked"} and len(machine.servers["blue"].request_logs) == 2)
        process.terminate()
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 3
    assert "green" not in errors
    assert machine.states("blue") == {"in_doubt"}


def test_sighup_reads_the_configuration_again(machine: Machine) -> None:
    ids = {name: write_calls(machine.journal(name), 1) for name in machine.servers}
    machine.write_config("red")
    with machine.start() as process:
        assert process.stderr is not None
        assert process.stdout is not None
        wait_until(lambda: machine.states("red") == {"acked"})
        note = iter(process.stderr.readline, "")
        assert f"does not list the journal {machine.journal('blue')}" in next(note)
        machine.config.write_text("[workspaces.")
        process.send_signal(signal.SIGHUP)
        assert "is not TOML" in next(note)
        assert any("red.key has the same key" in line for line in iter(process.stdout.readline, ""))
        machine.write_config("blue")
        process.send_signal(signal.SIGHUP)
        assert "it lists blue" in next(note)
        wait_until(lambda: machine.states("blue") == {"acked"})
        with sole_sender(machine.journal("red")):
            pass
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert_all_arrived(machine, ids)


def test_a_program_sends_for_its_workspace(machine: Machine) -> None:
    code = (
        "from langchain_core.language_models import FakeListChatModel\n"
        "from plsync import Journal, PromptLayerCallbackHandler\n"
        "handler = PromptLayerCallbackHandler(workspace='blue', sync='thread')\n"
        "FakeListChatModel(responses=['yes']).invoke('?', {'callbacks': [handler]})\n"
        "print(Journal.open(workspace='blue').flush(wait='acked', timeout=60))\n"
    )
    command, env = [sys.executable, "-c", code], machine.environment()
    done = programs.run(command, env=env, capture_output=True, text=True, timeout=100, check=True)
    assert "waiting=0" in done.stdout
    assert [len(machine.servers[name].request_logs) for name in ("red", "blue")] == [0, 1]


def test_status_shows_each_workspace_in_short(machine: Machine) -> None:
    write_calls(machine.directory / "journal", 1)
    write_calls(machine.journal("red"), 3)
    red, blue, *rest = machine.output("status").splitlines()
    assert re.fullmatch(r"red   3 records, 3 waiting, the oldest for .*; no sender", red)
    assert blue == "blue  nothing recorded"
    assert any(f"does not list the journal {machine.directory / 'journal'}." in line for line in rest)
    objects = [json.loads(line) for line in machine.output("status", "--json").splitlines()]
    assert [(one["workspace"], one.get("records")) for one in objects] == [("red", 3), ("blue", None), (None, 1)]
    assert "records       3" in machine.output("--workspace", "red", "status")
    failed = {"url": "http://a", "pid": 7, "began_ms": 1, "ended_ms": 2, "outcome": "unauthorized", "reason": "401"}
    with Journal.open(machine.journal("red")) as journal:
        journal.outbox.set_last_run(failed)
    red = machine.output("status").splitlines()[0]
    assert re.search(r"; no sender; last run .* ago, to http://a: the server refused the API key \(401\)$", red)


def test_a_journal_that_cannot_be_read_hides_no_other_workspace(machine: Machine) -> None:
    write_calls(machine.journal("blue"), 1)
    machine.journal("red").mkdir(mode=0o700)
    (machine.journal("red") / "FORMAT").write_text("not a journal")
    done = machine.plsync("status")
    assert (done.returncode, done.stdout.splitlines()[0][:15]) == (1, "blue  1 record,")
    assert done.stderr.startswith("plsync: red: ")


def test_a_workspace_without_a_thread_is_served_later(machine: Machine) -> None:
    ids = {name: write_calls(machine.journal(name), 1) for name in machine.servers}
    code = (
        "import threading\n"
        "start, refused = threading.Thread.start, []\n"
        "def rarely(thread):\n"
        "    if thread.name == 'plsync-blue' and len(refused) < 3:\n"
        "        refused.append(1)\n"
        '        raise RuntimeError("can\'t start new thread")\n'
        "    start(thread)\n"
        "threading.Thread.start = rarely\n"
        "from plsync.cli import main; main()\n"
    )
    command = [sys.executable, "-c", code, "run"]
    with programs.Popen(command, env=machine.environment(), stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: machine.states("red") == machine.states("blue") == {"acked"})
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert errors.count("blue: can't start new thread") == 1
    assert_all_arrived(machine, ids)
