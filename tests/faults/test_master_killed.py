"""The master dies, stops or restarts in mid-command: no command is run again, and no line of its log is missing."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.faults.conftest import Record
from tests.faults.laboratory import masters
from tests.faults.laboratory.lab import Lab
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

SIZE = 300_000
ONCE = [f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")]


@pytest.mark.parametrize(
    ("fault", "how", "do"),
    [
        ("master killed in mid-command and started again", "SIGKILL, then start", masters.killed),
        ("`buildbot stop` in mid-command, then `buildbot start`", "SIGTERM, wait, start", masters.stopped),
        ("`buildbot restart` in mid-command", "SIGTERM and start", masters.restarted),
        ("the master is upgraded in mid-command", "stop, `buildbot upgrade-master`, start", masters.upgraded),
    ],
    ids=["killed", "stopped", "restarted", "upgraded"],
)
def test_the_command_is_not_run_again(
    lab: Lab, record: Record, fault: str, how: str, do: Callable[[BuildMaster], None]
) -> None:
    """The new build takes the session over: each command ran once, and the log is whole from its first line."""
    master = lab.master(lab.column(steps=lab.three_steps(seconds=15, size=SIZE)))
    lab.agent("a1")
    request = master.force("b")
    lab.wait_mark("work", "begin")
    began = time.monotonic()
    do(master)
    back = time.monotonic() - began
    build = master.finished(request, 90)
    assert [b.result for b in master.builds(request)] == ["RETRY", "SUCCESS"], master.describe(request)
    assert lab.ran() == ONCE
    lab.check_text(master, build, "work", SIZE)
    lab.wait_nothing_left()
    record(
        fault=fault,
        how=how,
        seen=f"RETRY, then SUCCESS: each of three commands ran once, log byte-exact (master away for {back:.0f} s; "
        "seconds: to the build's end)",
        seconds=time.monotonic() - began,
    )


@pytest.mark.long
@pytest.mark.parametrize("away", [15.0, 600.0], ids=["15s", "10min"])
@pytest.mark.timeout(1500)
def test_the_result_is_there_when_the_master_comes_back(lab: Lab, record: Record, away: float) -> None:
    """The command ends while the master is down; its result and its log are there when it is back."""
    master = lab.master(lab.column(steps=lab.three_steps(seconds=6, size=SIZE)))
    lab.agent("a1")
    request = master.force("b")
    lab.wait_mark("work", "begin")
    killed = time.monotonic()
    master.kill()
    lab.wait_mark("work", "end")
    wait_for(lambda: time.monotonic() > killed + away, away + 5, "the master's absence", every=0.5)
    back = time.monotonic()
    master.start()
    build = master.finished(request, 90)
    took = time.monotonic() - back
    assert [b.result for b in master.builds(request)] == ["RETRY", "SUCCESS"], master.describe(request)
    assert lab.ran() == ONCE
    lab.check_text(master, build, "work", SIZE)
    lab.wait_nothing_left()
    record(
        fault=f"master down for {away:.0f} s while the command ends",
        how="SIGKILL, start after the command's end",
        seen="RETRY, then SUCCESS: nothing ran again, log byte-exact (seconds: from the start to the build's end)",
        seconds=took,
    )


@pytest.mark.long
@pytest.mark.timeout(600)
def test_fifty_megabytes_of_log_through_a_masters_death(lab: Lab, record: Record) -> None:
    """The command is not held up while nobody takes what it prints; all of it is there afterwards."""
    size = 50_000_000
    master = lab.master(lab.column(steps=lab.three_steps(seconds=25, size=size)))
    lab.agent("a1")
    request = master.force("b")
    lab.wait_mark("work", "begin")
    wait_for(lambda: master.output(master.step_running(request, "work"), "work"), 30, "some log")
    master.kill()
    lab.wait_mark("work", "end", timeout=60)
    back = time.monotonic()
    master.start()
    build = master.finished(request, 180)
    assert [b.result for b in master.builds(request)] == ["RETRY", "SUCCESS"], master.describe(request)
    assert lab.ran() == ONCE
    lab.check_text(master, build, "work", size)
    lab.wait_nothing_left()
    record(
        fault=f"master killed under {size // 1_000_000} MB of log, back when the command has ended",
        how="SIGKILL, start after the command's end",
        seen="RETRY, then SUCCESS: the command was not held up and ran once; log byte-exact (seconds: from the "
        "start to the build's end)",
        seconds=time.monotonic() - back,
    )


@pytest.mark.long
def test_a_master_killed_twice(lab: Lab, record: Record) -> None:
    """Killed again while it takes the session over: the claims queue is the roll, nobody is lost (rule 11)."""
    master = lab.master(lab.column(steps=lab.three_steps(seconds=30, size=SIZE)))
    lab.agent("a1")
    request = master.force("b")
    lab.wait_mark("work", "begin")
    began = time.monotonic()
    master.kill()
    for _ in range(2):
        master.start()
        wait_for(lambda: "amqp.attached" in master.log()[-3000:], 30, "the session was taken over")
        master.kill()
        (master.folder / "twistd.log").rename(master.folder / f"twistd.log.{time.monotonic()}")
    master.start()
    build = master.finished(request, 90)
    assert [b.result for b in master.builds(request)][-1] == "SUCCESS", master.describe(request)
    assert lab.ran() == ONCE
    lab.check_text(master, build, "work", SIZE)
    lab.wait_nothing_left()
    record(
        fault="master killed three times in one command",
        how="SIGKILL, start, SIGKILL as soon as it has taken the session over, twice",
        seen=f"{len(master.builds(request)) - 1} x RETRY, then SUCCESS; each command ran once, log byte-exact",
        seconds=time.monotonic() - began,
    )
