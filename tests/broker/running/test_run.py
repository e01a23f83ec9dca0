"""Commands on real agents over a real broker: each once, with all of its output and its own exit status."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path

import psutil
import pytest

from contracts.testing.rabbitmq.node import RabbitMQNode
from master_bridge.running import Fleet, OperatingError, Secret
from tests.broker.agent.conftest import AgentProcess, StartAgent, close_connections
from tests.broker.running.conftest import PATIENCE, Begin, StartAll
from tests.harness.waiting import wait_for

#: Writes the file of its first argument in pieces, touches the second in the middle, goes on once the third is there,
#: and touches another one at its end.
SLOWLY = """
import os, sys, time
data = open(sys.argv[1], "rb").read()
for start in range(0, len(data), 500_000):
    if start == 10_000_000:
        open(sys.argv[2], "w").close()
        while not os.path.exists(sys.argv[3]):
            time.sleep(0.05)
    sys.stdout.buffer.write(data[start:start + 500_000])
    sys.stdout.buffer.flush()
open(sys.argv[2] + ".end", "w").close()
"""


def test_a_command_on_one_agent_and_on_three(start_all: StartAll, begin: Begin, amqp_url: str, tmp_path: Path) -> None:
    """Its output and exit status; with several agents each line has a name. Ctrl-C ends it on all of them."""
    start_all("a1", "a2", "a3", flags=("--capability", "gtk=3.24"))
    words = ("sh", "-c", "echo out $WHO; echo err >&2; exit 7")
    done = begin("run", "--on", "a1", "--env", "WHO=me", "--", *words).ended(7)
    assert (done.stdout, done.stderr) == (b"out me\n", "err\n")
    some = begin("run", "--match", "gtk>=3", "--", "printf 'one\\ntwo'; case $PWD in */a2/*) exit 3; esac").ended(1)
    assert sorted(some.stdout.splitlines()) == [f"a{n}: {word}".encode() for n in (1, 2, 3) for word in ("one", "two")]
    assert some.stderr == "a2: exit status 3\n"
    fleet = Fleet(amqp_url)
    for arguments, reason in (
        ({"match": ["os==plan9"]}, "no agent satisfies os==plan9; alive: a1, a2, a3"),
        ({"on": ["a4"]}, "no agent 'a4' is alive; alive: a1, a2, a3"),
        ({}, "name agents, or choose them with --match"),
    ):
        with pytest.raises(OperatingError, match=reason):
            fleet.run(["true"], **arguments)  # type: ignore[arg-type]  # of its own kind each

    script = f"trap 'echo bye; exit 5' INT; echo $$ >>{tmp_path}/pids; sleep 1000 & wait"
    program = begin("run", "--on", "a1", "--on", "a2", "--", script)
    pids = _pids(tmp_path, 2, program.process.pid)
    program.process.send_signal(signal.SIGINT)
    program.ended(130)
    assert sorted(program.stdout.splitlines()) == [b"a1: bye", b"a2: bye"]
    wait_for(lambda: not any(map(psutil.pid_exists, pids)), PATIENCE, lambda: str(pids))


@pytest.mark.long
def test_how_commands_end(start_all: StartAll, begin: Begin, amqp_url: str, tmp_path: Path) -> None:
    """For shells, for machines, in time or too late, without a program or a folder."""
    start_all("a1", "a2")
    some = begin("run", "--match", "any", "--json", "--", "case $PWD in */a2/*) exit 3; esac; no-such-name").ended(1)
    told = [json.loads(line) for line in some.stdout.splitlines()]
    assert [(each["agent"], each["exit_status"]) for each in told] == [("a1", 127), ("a2", 3)]
    assert "not found" in told[0]["stderr"]
    fleet = Fleet(amqp_url)
    by_signal, no_program, late = (
        fleet.run(command, on=["a1"], timeout=timeout)[0]
        for command, timeout in (("kill -TERM $$", None), (["/no/such/program"], None), ("sleep 100", 0.5))
    )
    assert by_signal.exit_status == 128 + signal.SIGTERM
    assert no_program.exit_status != 0
    assert (late.exit_status, late.error) == (None, "it took longer than 0.5 s, and was killed")
    with pytest.raises(OperatingError, match="a1: it took longer"):
        late.check()
    (here,) = fleet.run(["pwd"], on=["a1"])
    assert Path(here.stdout.decode().strip()).is_dir()
    missing = tmp_path / "missing"
    assert (
        fleet.run(["true"], on=["a1"], workdir=str(missing))[0].error == f"{missing}: there is no such file or folder"
    )
    assert not missing.exists()
    (echoed,) = fleet.run(["cat"], on=["a1"], stdin="what it reads")
    assert echoed.stdout == b"what it reads"


@pytest.mark.long
def test_what_is_wrong_of_the_call_is_said_before_anything_is_asked(begin: Begin) -> None:
    assert "Missing argument" in begin("run", "--on", "a1").ended(2).stderr
    unreachable = begin("run", "--on", "a1", "--", "true", url="amqp://guest:guest@127.0.0.1:1/").ended(255)
    assert "127.0.0.1" in unreachable.stderr


@pytest.mark.long
def test_it_runs_beside_builds_and_is_logged_without_secrets(
    start_all: StartAll, begin: Begin, amqp_url: str, tmp_path: Path
) -> None:
    """Four at once on an agent with one slot; a fifth waits, and says for how long."""
    (agent,) = start_all("a1")
    running = [begin("run", "--on", "a1", "--env", "TOKEN=hunter2", "--", "sleep", "1000") for _ in range(4)]
    wait_for(lambda: agent.log.count('"sleep 1000') + agent.log.count("sleep 1000") >= 4, PATIENCE, lambda: agent.log)
    late = begin("run", "--on", "a1", "--wait", "3", "--", "true").ended(255)
    assert "a1: it has not taken the command within 3 s" in late.stderr
    for program in running:
        program.process.send_signal(signal.SIGTERM)
    for program in running:
        program.ended(130)
    (told,) = Fleet(amqp_url).run(["echo", Secret("hunter3", "the token")], on=["a1"])
    assert told.stdout == b"hunter3\n"
    journal = (tmp_path / "programs" / "buildbot-amqp" / "operators.jsonl").read_text()
    ended = [json.loads(line) for line in journal.splitlines()]
    assert {(each["event"], each.get("agent")) for each in ended} == {
        ("operators_command", None),
        ("operators_command_ended", "a1"),
    }
    for log in (journal, agent.log):
        assert "hunter" not in log
    assert "the token" in agent.log
    assert "operator-" in agent.log


@pytest.mark.long
@pytest.mark.parametrize("cut", ["links", "agent", "program"])
def test_twenty_megabytes_are_exact_whatever_is_cut_meanwhile(
    start_all: StartAll, start_agent: StartAgent, begin: Begin, node: RabbitMQNode, tmp_path: Path, cut: str
) -> None:
    """All connections by the broker; the agent's main process by SIGKILL; the operator's program by SIGSTOP."""
    (agent,) = start_all("a1")
    data, here, go = random.Random(cut).randbytes(20_000_000), tmp_path / "here", tmp_path / "go"
    (tmp_path / "data").write_bytes(data)
    program = begin("run", "--on", "a1", "--", sys.executable, "-c", SLOWLY, str(tmp_path / "data"), str(here), str(go))
    wait_for(here.exists, PATIENCE, lambda: program.stderr + agent.log)
    if cut == "links":
        close_connections(node, "a1")
        node.ctl("close_all_connections", "a test")
        go.touch()
    elif cut == "agent":
        agent.kill()
        go.touch()
        start_agent("a1")
    else:
        program.process.send_signal(signal.SIGSTOP)
        go.touch()
        wait_for(Path(f"{here}.end").exists, PATIENCE, lambda: agent.log)  # all of it waits for the program
        program.process.send_signal(signal.SIGCONT)
    program.ended()
    assert program.stdout == data


@pytest.mark.long
def test_an_agent_that_is_killed_whole_is_lost_and_nothing_runs_twice(
    start_all: StartAll, start_agent: StartAgent, begin: Begin, tmp_path: Path
) -> None:
    (agent,) = start_all("a1")
    ran = tmp_path / "ran"
    program = begin("run", "--on", "a1", "--", f"echo >>{ran}; sleep 1000")
    wait_for(ran.exists, PATIENCE, lambda: program.stderr)
    _kill_tree(agent)
    start_agent("a1")
    program.ended(255)
    assert "does not have the session any more" in program.stderr
    assert ran.read_text() == "\n"


def _kill_tree(agent: AgentProcess) -> None:
    """The machine loses power, nearly."""
    tree = psutil.Process(agent.child.pid).children(recursive=True)
    agent.kill()
    for process in tree:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


@pytest.mark.long
def test_the_second_ctrl_c_does_not_wait(start_all: StartAll, begin: Begin, tmp_path: Path) -> None:
    start_all("a1")
    script = f"trap '' INT TERM; echo $$ >>{tmp_path}/pids; while :; do sleep 1; done"
    stubborn = begin("run", "--on", "a1", "--", script)
    pids = _pids(tmp_path, 1, stubborn.process.pid)
    stubborn.process.send_signal(signal.SIGINT)
    wait_for(lambda: "once more: leave at once" in stubborn.stderr, PATIENCE, lambda: stubborn.stderr)
    stubborn.process.send_signal(signal.SIGINT)
    stubborn.ended(130)
    wait_for(lambda: not any(map(psutil.pid_exists, pids)), PATIENCE, lambda: str(pids))


def _pids(folder: Path, count: int, program: int) -> list[int]:
    def read() -> list[int]:
        file = folder / "pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    wait_for(lambda: len(read()) == count, PATIENCE, lambda: f"{read()} {psutil.pid_exists(program)}")
    return read()


@pytest.mark.long
def test_a_reader_that_has_enough_ends_it(start_all: StartAll, begin: Begin, amqp_url: str, tmp_path: Path) -> None:
    """What takes the output raises, and the command is ended before that is raised on."""
    start_all("a1")

    def enough(_agent: str, _stream: str, _data: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Fleet(amqp_url).run(f"echo $$ >>{tmp_path}/pids; echo; sleep 1000", on=["a1"], on_output=enough)
    (pid,) = _pids(tmp_path, 1, os.getpid())
    wait_for(lambda: not psutil.pid_exists(pid), PATIENCE, lambda: str(pid))


@pytest.mark.long
def test_nothing_is_left_at_the_broker(start_all: StartAll, node: RabbitMQNode, amqp_url: str) -> None:
    start_all("a1")
    fleet = Fleet(amqp_url)
    fleet.run(["true"], on=["a1"])
    with pytest.raises(OperatingError):
        fleet.run(["true"], on=["nobody"])
    vhost = amqp_url.rpartition("/")[2]
    assert "operator-" not in node.ctl("-q", "list_queues", "-p", vhost, "name")
