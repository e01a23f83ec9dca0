"""Machines that run full: RETRY with the reason named, not FAILURE; the agent leaves the queues until it is well."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Record, chosen_lab
from tests.faults.laboratory.control_group import ControlGroup
from tests.faults.laboratory.full_disk import file_system, fill
from tests.faults.laboratory.lab import Lab
from tests.harness.agents import Agent
from tests.harness.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

ONCE = [f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB."""
    with file_system(tmp_path / "small", 64) as folder:
        yield folder


@pytest.fixture
def small_lab(request: pytest.FixtureRequest, tmp_path: Path, master_database: Path) -> Iterator[Lab]:
    """As `lab`; the folder of its master `m1` is a file system of 256 MiB, before anything is put there."""
    folder = tmp_path / "lab"
    with file_system(folder / "master-m1", 256):
        made = chosen_lab(request, folder, master_database)
        yield made
        made.end()


def step(command: object) -> str:
    return f"steps.ShellCommand(name='work', command={command!r}, logEnviron=False)"


def held(lab: Lab, command: str) -> list[str]:
    """On the agent `small` it begins once that takes no other build: it would be given this one again, now and then."""
    wait = f"[ $FAULTS_AGENT != small ] || until test -e {lab.folder}/go; do sleep 0.1; done"
    return ["sh", "-c", f"{wait}; {command}"]


def let_go(lab: Lab, small: Agent) -> None:
    """What is `held` goes on, and another agent is there that can run it."""
    wait_for(lambda: "command" in small.log(), 30, lambda: f"the command runs:\n{small.log()}")
    lab.told("drain", "small")
    wait_for(lambda: "pausing" in small.log(), 30, lambda: f"it takes nothing new:\n{small.log()}")
    lab.agent("well")
    (lab.folder / "go").touch()


def check_retry(lab: Lab, request: int, named: str) -> str:
    """The first build is RETRY and says what the machine did, the second one is SUCCESS; returns what was said."""
    master = lab.masters[0]
    build = master.finished(request, 90)
    builds = master.builds(request)
    assert [b.result for b in builds] == ["RETRY", "SUCCESS"], master.describe(request)
    said = master.output(builds[0], "work", streams="h")
    assert named in said, said
    assert named in builds[0].row["state_string"], builds[0].row["state_string"]
    assert master.properties(build)["agent"] == "well"
    return next(line for line in said.splitlines() if named in line).replace(str(lab.folder.parent), "…")


@pytest.mark.root
def test_agents_disk_full(lab: Lab, record: Record, small_disk: Path) -> None:
    """The command fails on a full disk: RETRY elsewhere; the agent is unwell until there is room again, and says so."""
    fill = "if [ $FAULTS_AGENT = full ]; then dd if=/dev/zero of=../fill bs=1M; else echo fine; fi"
    master = lab.master(lab.column(steps=step(fill)))
    place = f"--basedir={small_disk}/builds"
    least = ("--min-free-disk=16MiB", "--cache-free-disk=0", "--min-free-temp=0")
    full = lab.agent("full", options=[place, *least])
    request = master.force("b")
    wait_for(lambda: "unwell" in full.log(), 30, lambda: f"the agent says so:\n{full.log()}")
    began = time.monotonic()
    lab.agent("well")
    said = check_retry(lab, request, "disk full")
    took = time.monotonic() - began
    again = master.force("b")
    assert master.properties(master.finished(again, 30))["agent"] == "well", "an unwell agent takes no work"
    for left in small_disk.rglob("fill"):
        left.unlink()
    wait_for(lambda: "well_again" in full.log(), 30, lambda: f"the agent is well again:\n{full.log()}")
    lab.wait_nothing_left()
    record(
        fault="the agent's disk is full",
        how="a command fills a file system of 64 MiB",
        seen=f"RETRY, SUCCESS on another agent; the step says: {said.strip()}; off the queues until "
        "there was room again",
        seconds=took,
    )


@pytest.mark.root
def test_agents_journal_on_a_full_disk(lab: Lab, record: Record, small_disk: Path) -> None:
    """The journal cannot be written: the session ends as the machine's failure, and its command with it."""
    work = lab.command("work", seconds=4, size=300_000_000)
    fill = f"if [ $FAULTS_AGENT = full ]; then fallocate -l 60M {small_disk}/fill; fi; exec " + " ".join(work)
    master = lab.master(lab.column(steps=step(["sh", "-c", fill])))
    full = lab.agent("full", options=[f"--state={small_disk}/state", "--min-free-disk=16MiB", "--cache-free-disk=0"])
    request = master.force("b")
    lab.wait_mark("work", "begin", agent="full")
    lab.agent("well")
    said = check_retry(lab, request, "disk full")
    lab.wait_no_process(20, full)
    record(
        fault="the disk of the agent's journal is full",
        how="a command fills it, then prints 300 MB",
        seen=f"RETRY, SUCCESS on another agent; the step says: {said.strip()}",
        seconds=None,
    )


@pytest.mark.root
def test_command_out_of_memory(lab: Lab, record: Record) -> None:
    """The kernel kills the command for its control group's bound: RETRY, and the step says so."""
    eat = "import os; b = bytearray(2**30 if os.environ['FAULTS_AGENT'] == 'small' else 1); print(len(b))"
    master = lab.master(lab.column(steps=step(held(lab, shlex.join([sys.executable, "-c", eat])))))
    with ControlGroup(memory=400 * 2**20) as group:
        small = lab.agent("small", prefix=group.prefix)
        request = master.force("b")
        let_go(lab, small)
        said = check_retry(lab, request, "out of memory")
        small.stop()
        lab.wait_nothing_left()
    record(
        fault="out of memory in the command",
        how="a command takes 1 GiB in a control group of 400 MiB",
        seen=f"RETRY, SUCCESS on another agent; the step says: {said.strip()}",
        seconds=None,
    )


@pytest.mark.root
def test_process_limit(lab: Lab, record: Record) -> None:
    """The system refuses new processes: RETRY, and the step says so."""
    fork = "[ $FAULTS_AGENT != small ] || for i in $(seq 200); do sleep 5 & done; echo fine"
    master = lab.master(lab.column(steps=step(held(lab, fork))))
    with ControlGroup(processes=60) as group:
        small = lab.agent("small", prefix=group.prefix)
        request = master.force("b")
        let_go(lab, small)
        said = check_retry(lab, request, "process limit")
        small.stop()
        lab.wait_nothing_left()
    record(
        fault="the process table is full",
        how="a command starts 200 processes in a control group of 60",
        seen=f"RETRY, SUCCESS on another agent; the step says: {said.strip()}",
        seconds=None,
    )


@pytest.mark.root
def test_masters_disk_full_for_a_while(small_lab: Lab, record: Record) -> None:
    """Not a byte is left for 15 s in mid-build: the log waits at the agent, then all goes on; nothing is lost."""
    lab, size = small_lab, 5_000_000
    master = lab.master(lab.column(steps=lab.three_steps(seconds=10, size=size)))
    lab.agent("a1")
    request = master.force("b")
    lab.wait_mark("work", "begin")
    master.step_running(request, "work")
    filled = fill(lab.folder / "master-m1", leave=0)
    began = time.monotonic()
    lab.wait_mark("work", "end", timeout=30)  # the command is not held up
    wait_for(lambda: time.monotonic() > began + 15, 20, "a full disk", every=0.5)
    assert len(lab.ran()) == 4, "what follows needs the master"
    filled.unlink()
    build = master.finished(request, 60)
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert lab.ran() == ONCE
    lab.check_text(master, build, "work", size)
    lab.wait_nothing_left()
    record(
        fault="the master's disk is full for 15 s in mid-build",
        how="a file takes all of the file system of its folder (database, logs)",
        seen="one build, SUCCESS; the command was not held up and ran once; log byte-exact",
        seconds=time.monotonic() - began,
    )


@pytest.mark.root
def test_masters_disk_full(small_lab: Lab, record: Record) -> None:
    """It stays full: RETRY that names it, the agent is free again, and no build starts before there is room."""
    lab, size = small_lab, 5_000_000
    config = lab.column(steps=lab.three_steps(seconds=10, size=size)) + "c['collapseRequests'] = False\n"
    master = lab.master(config)
    lab.agent("a1")
    request = master.force("b")
    lab.wait_mark("work", "begin")
    master.step_running(request, "work")
    filled = fill(lab.folder / "master-m1", leave=30 * 2**20)
    began = time.monotonic()
    wait_for(lambda: master.builds(request)[0].result == "RETRY", 60, lambda: master.describe(request))
    took = time.monotonic() - began
    first = master.builds(request)[0]
    said = master.output(first, "work", streams="h")
    assert "master: disk full" in said, said
    assert "master: disk full" in first.row["state_string"], first.row["state_string"]
    lab.wait_nothing_left()
    wait_for(lambda: "amqp.master_disk_full" in master.log(), 5, "the master says so")
    other = master.force("b")
    noticed = time.monotonic()
    wait_for(lambda: time.monotonic() > noticed + 5, 10, "time in which builds might start", every=0.5)
    assert len(master.builds(request)) == 1
    assert not master.builds(other)
    filled.unlink()
    build = master.finished(request, 60)
    assert [b.result for b in master.builds(request)] == ["RETRY", "SUCCESS"], master.describe(request)
    lab.check_text(master, build, "work", size)
    assert master.finished(other, 60).result == "SUCCESS"
    lab.wait_nothing_left()
    line = next(line for line in said.splitlines() if "disk full" in line).replace(str(lab.folder.parent), "…")
    record(
        fault="the master's disk is full and stays so",
        how="a file leaves 30 MiB of the file system of its folder",
        seen=f"RETRY; the step says: {line.strip()}; no build starts until there is room again, then SUCCESS "
        "(seconds: until the RETRY)",
        seconds=took,
    )


@pytest.mark.rabbitmq
def test_brokers_disk_alarm(own_lab: Lab, record: Record) -> None:
    """Publishers are blocked for 15 s in mid-build: nothing is lost or run twice, the command is not held up."""
    lab, size = own_lab, 3_000_000
    alarmed = lab.folder / "alarmed"
    master = lab.master(lab.column(steps=lab.three_steps(seconds=12, size=size, until=alarmed)))
    lab.agent("a1")
    request = master.force("b")
    lab.wait_mark("work", "begin")
    lab.node.ctl("set_disk_free_limit", "1000000GB")
    wait_for(lambda: "amqp.blocked" in master.log(), 60, "the alarm")
    began = time.monotonic()
    alarmed.touch()
    lab.wait_mark("work", "end", timeout=60)
    wait_for(lambda: time.monotonic() > began + 15, 20, "the alarm lasts", every=0.5)
    assert len(lab.ran()) == 4, "what follows needs the broker"
    lab.node.ctl("set_disk_free_limit", "50MB")
    build = master.finished(request, 60)
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert lab.ran() == ONCE
    lab.check_text(master, build, "work", size)
    lab.wait_nothing_left()
    record(
        fault="the broker's disk alarm blocks publishers in mid-build",
        how="`rabbitmqctl set_disk_free_limit` above what is free, for 15 s",
        seen="one build, SUCCESS; each command ran once; log byte-exact",
        seconds=time.monotonic() - began,
    )
