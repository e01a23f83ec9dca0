"""What is found and ended, on a system of which a test says what it has: numbers are given twice, parents go."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.harness.waiting import wait_for
from tests.unit.keeper.system import System
from worker_agent.keeper import files
from worker_agent.keeper.processes import reaper
from worker_agent.keeper.processes.belonging import LEAVE, MARK

#: What the processes of these tests carry: all of the machine is looked at, and such tests run beside each other.
REAL = f"real{os.getpid()}/1"


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    """The reaper sees this one only."""
    made = System()
    made.replace(monkeypatch)
    return made


def pids(found: list[Any]) -> list[int]:
    return sorted(process.pid for process in found)


# ---- what descends from a process


def test_descendants_are_all_below_that_live(system: System) -> None:
    """Not the process itself, not its neighbours, no zombies."""
    system.start(10)
    system.start(11, parent=10)
    system.start(12, parent=11)
    system.start(13, parent=10, status=psutil.STATUS_ZOMBIE)
    system.start(20)
    system.start(21, parent=20)
    assert pids(reaper.descendants(system.process(10))) == [11, 12]


def test_what_is_to_be_left_is_spared_with_all_below_it(system: System) -> None:
    """Its children need not say so themselves."""
    system.start(10)
    system.start(11, parent=10, mark="leave")
    system.start(12, parent=11)
    system.start(13, parent=12)
    system.start(14, parent=10, mark="s1/2")
    assert pids(reaper.descendants(system.process(10))) == [14]
    assert pids(reaper.left_below([10])) == [11]


def test_a_process_whose_number_is_anothers_has_no_descendants(system: System) -> None:
    """Whoever has the number now has its own, and they are nobody's to end."""
    system.start(10)
    once = system.process(10)
    system.end(10)
    assert reaper.descendants(once) == []
    system.start(10)
    system.start(11, parent=10)
    assert reaper.descendants(once) == []


def test_what_is_left_is_told_of_the_living_only(system: System) -> None:
    """Children may go while they are looked at, and be there as a number that waits to be collected."""
    system.start(10, mark="leave")
    system.start(11, mark="leave", status=psutil.STATUS_ZOMBIE)
    system.start(12, mark="s1/2")
    system.start(13, parent=12, mark="leave")
    assert pids(reaper.left_below([9, 10, 11, 12])) == [10, 13]


def test_a_marks_processes_are_found_whoever_their_parents_are(system: System) -> None:
    """But neither this process, which may carry it as well, nor what has ended."""
    system.start(10, mark="s1/1")
    system.start(11, parent=10, mark="s1/2")
    system.start(12, mark="s11/1")
    system.start(13, mark="s1/3", status=psutil.STATUS_ZOMBIE)
    system.start(os.getpid(), mark="s1/4")
    assert pids(reaper.marked("s1/")) == [10, 11]
    assert pids(reaper.marked("s1/2")) == [11]


def test_a_number_that_was_anothers_at_an_earlier_look_is_found(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """psutil's list of processes leaves it out twice: what a killed keeper had left ran on for good."""
    identity = psutil.Process._get_ident  # type: ignore[attr-defined]  # private: by it psutil tells who has a number
    wait_for(lambda: MARK in psutil.Process(child.pid).environ(), 60, "its environment: there is none for a moment")
    with monkeypatch.context() as earlier:  # another one had its number then
        earlier.setattr(psutil.Process, "_get_ident", lambda process: (process.pid, identity(process)[1] - 1))
        reaper.marked(REAL)
    assert pids(reaper.marked(REAL)) == [child.pid]


def test_a_number_that_changes_hands_while_it_is_looked_at_is_not_taken_for_who_had_it(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is who had it then; nobody else's process is ended for it."""
    system.start(10, mark="s1/2")
    reads = 0

    def environment(pid: int) -> bytes:
        nonlocal reads
        reads += 1
        found = system.environment(pid)
        if reads == 1:
            system.end(10)
            system.start(10, mark="other/1")
        return found

    monkeypatch.setattr(reaper, "_environment", environment)
    assert reaper.marked("s1/2") == []
    assert reads == 2


def test_a_marked_process_that_ends_while_it_is_looked_at_is_none(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are found all the same."""
    system.start(10, mark="s1/2")
    system.start(11, mark="s1/2")

    def environment(pid: int) -> bytes:
        found = system.environment(pid)
        if pid == 10 and found:
            system.end(10)
        return found

    monkeypatch.setattr(reaper, "_environment", environment)
    assert pids(reaper.marked("s1/2")) == [11]


# ---- trees, while they are ended


def test_a_tree_remembers_what_lost_its_parent(system: System) -> None:
    """Its children came to another process when it ended."""
    system.start(10)
    system.start(11, parent=10)
    find = reaper.tree(10)
    assert pids(find()) == [10, 11]
    system.end(10)
    system.start(12, parent=11)
    assert pids(find()) == [11, 12]


def test_a_tree_is_not_that_of_a_process_with_the_same_number(system: System) -> None:
    """Rounds of killing take seconds: a number of the tree can come again meanwhile, at another's process."""
    system.start(10)
    system.start(11, parent=10)
    find = reaper.tree(10)
    assert pids(find()) == [10, 11]
    for number in (10, 11):
        system.end(number)
        system.start(number)
        system.start(number + 10, parent=number)
    assert find() == []


def test_a_number_that_comes_again_in_the_tree_itself_is_found(system: System) -> None:
    """The tree goes on making processes while it is ended."""
    system.start(10)
    system.start(11, parent=10)
    find = reaper.tree(10)
    find()
    system.end(11)
    system.start(11, parent=10)
    assert find() == [system.process(10), system.process(11)]


def test_a_tree_without_its_root_is_nothing(system: System) -> None:
    """What has ended has left nothing that could be told from others."""
    assert reaper.tree(10)() == []


# ---- signals


def test_a_signal_gets_those_that_are_there_and_may_be_signalled(system: System) -> None:
    """Each of the others changes nothing for the next."""
    for number in (10, 11, 12, 13):
        system.start(number)
    gone, denied = system.process(10), system.process(12)
    system.end(10)
    system.protect(12)
    told = reaper.kill([gone, system.process(11), denied, system.process(13)], signal.SIGTERM)
    assert pids(told) == [11, 13]
    assert system.signals == [(11, signal.SIGTERM), (13, signal.SIGTERM)]


def test_without_a_signal_it_is_the_one_that_ends(system: System) -> None:
    """SIGKILL, which nobody can ignore."""
    system.start(10)
    reaper.kill([system.process(10)])
    assert system.signals == [(10, signal.SIGKILL)]


def test_a_session_is_ended_by_its_mark(system: System) -> None:
    """All of its commands, and no other session's."""
    system.start(10, mark="s1/1")
    system.start(11, mark="s1/2")
    system.start(12, mark="s11/1")
    assert reaper.kill_session("s1") == []
    assert system.living() == [12]


def test_a_tree_is_ended_whole(system: System) -> None:
    """With what is below it, and nothing beside it."""
    system.start(9)
    system.start(10, parent=9)
    system.start(11, parent=10)
    system.start(12, parent=9)
    assert reaper.kill_tree(10) == []
    assert system.living() == [9, 12]


def test_rounds_go_on_until_nothing_is_left(system: System) -> None:
    """What is started between two rounds is found in the next; a round that finds nothing is the last."""
    system.start(10)
    seen = []
    for left in reaper.rounds(system.everything):
        seen.append(pids(left))
        if len(seen) < 3:
            system.start(10 + len(seen))
    assert seen == [[10], [11], [12], []]


def test_what_hangs_is_tried_for_ten_seconds(system: System) -> None:
    """Each pause between two rounds is a hundredth."""
    system.start(10, hangs=True)
    assert pids(reaper.kill_until_none(system.everything)) == [10]
    assert system.now == pytest.approx(reaper.KILL_PATIENCE, abs=2 * reaper.ROUND_PAUSE)
    assert system.now > reaper.KILL_PATIENCE


def test_what_nobody_may_end_is_tried_for_one(system: System) -> None:
    """It runs as another user."""
    system.start(10)
    system.protect(10)
    assert pids(reaper.kill_until_none(system.everything)) == [10]
    assert system.now == pytest.approx(reaper.DENIED_PATIENCE, abs=2 * reaper.ROUND_PAUSE)
    assert system.now > reaper.DENIED_PATIENCE


def test_patience_with_what_may_not_be_ended_begins_anew_with_each_that_may(system: System) -> None:
    """Its parents' end may be its own."""
    system.start(10)
    system.protect(10)
    pauses = reaper.rounds(system.everything)
    next(pauses)
    system.now += reaper.DENIED_PATIENCE
    system.start(11)
    assert pids(next(pauses)) == [10, 11]
    system.now += reaper.DENIED_PATIENCE
    assert pids(next(pauses)) == [10]
    system.now += reaper.ROUND_PAUSE
    assert list(pauses) == []


# ---- this process's own children


def test_only_strays_are_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another's child, and one that somebody collected just now, keep nobody from the rest; nothing is waited for."""
    collected = []

    def waitpid(pid: int, options: int) -> tuple[int, int]:
        collected.append((pid, options))
        if pid == 11:
            raise ChildProcessError
        return pid, 0

    monkeypatch.setattr(reaper, "own_children", lambda: [10, 11, 12, 13])
    monkeypatch.setattr(os, "waitpid", waitpid)
    reaper.reap_strays(frozenset({10}))
    assert collected == [(11, os.WNOHANG), (12, os.WNOHANG), (13, os.WNOHANG)]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A real one."""
    process = subprocess.Popen(["sleep", "300"], env={**os.environ, MARK: REAL})
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("listed", [True, False])
def test_own_children_are_told_with_and_without_the_systems_lists(
    child: subprocess.Popen[bytes], listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that has ended and is not collected."""
    if listed:
        monkeypatch.setattr(psutil, "Process", fails(AssertionError("all of the machine is looked at")))
    else:
        monkeypatch.setattr(reaper, "_THREADS", "/proc/nowhere")
    assert child.pid in reaper.own_children()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.pid in reaper.own_children()
    child.wait()
    assert child.pid not in reaper.own_children()


@pytest.mark.parametrize("when", ["before its list is read", "after it"])
def test_all_of_the_machine_is_not_looked_at_when_a_thread_ends_meanwhile(
    child: subprocess.Popen[bytes], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As threads do that have just given what the caller waited for. What it had started is in another's list then."""
    over = threading.Event()
    started: list[subprocess.Popen[bytes]] = []

    def work() -> None:
        started.append(subprocess.Popen(["sleep", "300"]))
        over.wait()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    wait_for(lambda: started, 10, "the thread has started a process")
    listed = os.listdir

    def end() -> None:
        over.set()
        wait_for(lambda: str(thread.native_id) not in listed("/proc/self/task"), 10, "the thread has ended")

    def listing(path: str) -> list[str]:
        """That one last: all others' lists have been read before."""
        found = sorted(listed(path), key=lambda name: name == str(thread.native_id))
        if when == "before its list is read":
            end()
        return found

    def reading(path: str) -> bytes:
        if when == "after it" and f"/{thread.native_id}/" in path:
            end()
            return b""  # of a thread that is gone the list is empty where the file was opened before
        return read(path)

    read = files.read_file
    monkeypatch.setattr(os, "listdir", listing)
    monkeypatch.setattr(reaper, "read_file", reading)
    monkeypatch.setattr(psutil, "Process", fails(AssertionError("all of the machine is looked at")))
    try:
        assert {child.pid, started[0].pid} <= set(reaper.own_children())
    finally:
        over.set()
        thread.join()
        started[0].kill()
        started[0].wait()


# ---- what the system says of one process


def fails(error: Exception) -> Any:
    """A call that does."""

    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


@pytest.mark.parametrize("platform", ["linux", "freebsd14"])
def test_a_process_has_one_identity_and_no_two_have_the_same(
    child: subprocess.Popen[bytes], platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On each system."""
    monkeypatch.setattr(sys, "platform", platform)
    who = reaper.identity(child.pid)
    assert who is not None
    assert reaper.identity(child.pid) == who
    assert reaper.identity(os.getpid()) not in (None, who)
    child.kill()
    child.wait()
    assert reaper.identity(child.pid) is None


def test_a_process_with_an_odd_name_has_an_identity() -> None:
    """Any bytes, which may be no text."""
    code = "import pathlib, time; pathlib.Path('/proc/self/comm').write_bytes(b'\\xff)\\xfe'); print(1, flush=True)"
    with subprocess.Popen([sys.executable, "-c", f"{code}; time.sleep(300)"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        who = reaper.identity(process.pid)
        process.kill()
    assert who is not None
    assert who.rpartition("/")[2].isdigit()


def test_an_identity_has_the_boot_and_the_start(child: subprocess.Popen[bytes]) -> None:
    """As journals and files of keepers have it, which later versions read."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    start = Path(f"/proc/{child.pid}/stat").read_text().split()[21]
    assert reaper.identity(child.pid) == f"{boot}/{start}"


@pytest.mark.parametrize("platform", ["linux", "freebsd14"])
def test_a_process_carries_what_it_was_started_with(
    child: subprocess.Popen[bytes], platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes of Linux; of other systems its mark."""
    process = psutil.Process(child.pid)
    wait_for(lambda: MARK in process.environ(), 60, "its environment: there is none for a moment of the exec")
    monkeypatch.setattr(sys, "platform", platform)
    assert f"{MARK}={REAL}".encode() in reaper.environment(process.pid).split(b"\0")
    assert not reaper.left_on_purpose(process)


@pytest.mark.parametrize(
    ("platform", "error"),
    [
        *(("linux", OSError(number, "planted")) for number in (errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM)),
        ("freebsd14", psutil.NoSuchProcess(1)),
        ("freebsd14", psutil.AccessDenied(1)),
        ("freebsd14", OSError(errno.EIO, "planted")),
    ],
)
def test_an_environment_that_may_not_be_read_has_no_mark(
    platform: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is gone, or another user's: not ours, in either case."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(reaper, "read_file", fails(error))
    monkeypatch.setattr(psutil.Process, "environ", fails(error))
    assert reaper.environment(os.getpid()) == b""


@pytest.fixture
def program_begins(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[float]]:
    """A call plants it: the environment is not there yet at so many looks; what comes back are the pauses so far."""

    def plant(looks: int) -> list[float]:
        real = files.read_file
        pauses: list[float] = []

        def read(path: str) -> bytes:
            return b"" if path.endswith("/environ") and len(pauses) < looks else real(path)

        monkeypatch.setattr(reaper, "read_file", read)
        monkeypatch.setattr(reaper, "time", SimpleNamespace(sleep=pauses.append))
        return pauses

    return plant


def test_what_begins_a_program_is_known_by_what_it_is_given(
    child: subprocess.Popen[bytes], program_begins: Callable[[int], list[float]]
) -> None:
    """It was nobody's in that moment: what a killed keeper had left ran on if the last look fell into it."""
    wait_for(lambda: MARK in psutil.Process(child.pid).environ(), 60, "its environment: there is none for a moment")
    pauses = program_begins(3)
    assert f"{MARK}={REAL}".encode() in reaper.environment(child.pid).split(b"\0")
    assert len(pauses) == 3


def test_a_program_that_does_not_begin_is_not_waited_for_long(
    child: subprocess.Popen[bytes], program_begins: Callable[[int], list[float]]
) -> None:
    """A dead disk may hold it for ever."""
    wait_for(lambda: MARK in psutil.Process(child.pid).environ(), 60, "its environment: there is none for a moment")
    pauses = program_begins(1_000_000)
    assert reaper.environment(child.pid) == b""
    assert 0.05 < sum(pauses) < 0.2


def test_many_that_are_hidden_for_good_are_waited_for_together(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """What got more rights by its program is not shown to whoever started it; the others are found all the same."""
    hidden = range(100, 400)
    for pid in (50, *hidden, 500):
        system.start(pid, mark=LEAVE)
    system.end(hidden[-1])
    seen: list[int] = []

    def shown(pid: int) -> Any:
        seen.append(pid)
        if pid in hidden or (pid == 500 and seen.count(pid) == 1):
            raise psutil.NoSuchProcess(pid)
        return system.process(pid)

    monkeypatch.setattr(psutil, "Process", shown)
    monkeypatch.setattr(reaper, "_is_there", lambda pid: pid in system.entries)
    assert pids(reaper.left_below((50, *hidden, 500))) == [50, 500]
    assert 0.05 < system.now < 0.2
    assert seen.count(hidden[-1]) == 1, "it is gone"


def test_what_is_not_shown_is_there_as_long_as_a_signal_reaches_it(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it may not be sent one; what is gone is not waited for."""
    pauses: list[float] = []
    asked: list[tuple[int, int]] = []
    send = os.kill
    monkeypatch.setattr(os, "kill", lambda pid, number: asked.append((pid, number)) or send(pid, 0))
    monkeypatch.setattr(reaper, "time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr(psutil, "Process", fails(psutil.NoSuchProcess(child.pid)))
    assert reaper.of_child(child.pid) is None
    waited = len(pauses)
    assert waited > 50
    assert set(asked) == {(child.pid, 0)}, "nothing is done to it"
    with monkeypatch.context() as another:
        another.setattr(os, "kill", fails(PermissionError(errno.EPERM, "planted")))
        assert reaper.of_child(child.pid) is None
    assert len(pauses) == 2 * waited
    send(child.pid, signal.SIGKILL)
    child.wait()
    assert reaper.of_child(child.pid) is None
    assert len(pauses) == 2 * waited


@pytest.mark.parametrize("error", [psutil.NoSuchProcess(10), FileNotFoundError(errno.ENOENT, "planted")])
def test_a_marked_process_that_psutil_does_not_find_hides_no_other(
    system: System, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It ends, or comes into sight, just when it is looked at."""
    for pid in (10, 11):
        system.start(pid, mark="s1/2")
    monkeypatch.setattr(psutil, "Process", lambda pid: fails(error)() if pid == 10 else system.process(pid))
    assert pids(reaper.marked("s1/2")) == [11]


@pytest.mark.parametrize("looks", [2, 1_000_000])
def test_what_is_below_is_looked_for_again_where_something_comes_into_sight(
    system: System, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """psutil had it in its list and did not find it; for good it is not looked for."""
    system.start(10)
    system.start(11, parent=10)
    process, began = system.process(10), system.now
    times = iter(range(looks))
    children = type(process).children

    def appears(self: Any, recursive: bool = False) -> Any:
        if next(times, None) is not None:
            raise FileNotFoundError(errno.ENOENT, "planted")
        return children(self, recursive)

    monkeypatch.setattr(type(process), "children", appears)
    assert pids(reaper.descendants(process)) == ([11] if looks == 2 else [])
    assert system.now - began == pytest.approx(0.002) if looks == 2 else 0.05 < system.now - began < 0.2


def test_many_that_seem_to_begin_a_program_for_good_are_waited_for_together(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As whoever unmaps its own environment: fifteen made each look for a mark take four seconds."""
    for pid in range(100, 400):
        system.start(pid)
    system.start(50, mark="s1/2")
    system.start(500, mark="s1/2")
    seen: list[int] = []

    def looks_so(pid: int) -> bytes | None:
        seen.append(pid)
        late = pid == 500 and seen.count(pid) == 1
        return None if late or 100 <= pid < 400 else system.environment(pid)

    monkeypatch.setattr(reaper, "_environment", looks_so)
    assert sorted(process.pid for process in reaper.marked("s1/2")) == [50, 500]
    assert 0.05 < system.now < 0.2
    assert dict(reaper.environments((100, 50))) == {100: b"", 50: f"A=b\0{MARK}=s1/2\0".encode()}


def test_what_begins_a_program_may_have_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no text, and brackets."""
    pauses: list[float] = []
    stat = b"7 (\xff) S) S " + b" ".join(b"0" if number in (47, 48) else b"1" for number in range(1, 52))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(reaper, "time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr(reaper, "read_file", lambda path: stat if path == "/proc/7/stat" else b"")
    assert reaper.environment(7) == b""
    assert len(pauses) > 50


def test_what_has_no_environment_is_looked_at_once(program_begins: Callable[[int], list[float]]) -> None:
    """A zombie, and what was started without any."""
    bare = subprocess.Popen(["/bin/sleep", "300"], env={})
    zombie = subprocess.Popen(["/bin/true"])
    try:
        wait_for(lambda: psutil.Process(bare.pid).cmdline() == ["/bin/sleep", "300"], 60, "its program")
        wait_for(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE, 60, "its end")
        pauses = program_begins(1_000_000)
        assert [reaper.environment(each.pid) for each in (bare, zombie)] == [b"", b""]
        assert pauses == []
    finally:
        bare.kill()
        bare.wait()
        zombie.wait()


def test_without_descriptors_nobody_is_taken_for_unmarked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not looked at may be a command's: whoever looks is told."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(reaper, "read_file", fails(OSError(errno.EMFILE, "planted")))
    with pytest.raises(OSError, match="planted"):
        reaper.environment(os.getpid())


def test_an_orphan_is_told_as_the_system_has_it(child: subprocess.Popen[bytes]) -> None:
    """Its number, its start, what it does, and its environment."""
    process = psutil.Process(child.pid)
    wait_for(lambda: MARK in process.environ(), 60, "its environment: there is none for a moment of the exec")
    told = reaper.orphan(process)
    assert (told.pid, told.began) == (child.pid, process.create_time())
    assert told.status in (psutil.STATUS_SLEEPING, psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)
    assert f"{MARK}={REAL}".encode() in told.environment.split(b"\0")


def test_a_process_is_alive_until_it_ended(system: System) -> None:
    """A number that was given again is no life; nor is one that goes while it is asked."""
    system.start(10)
    process = system.process(10)
    assert reaper.alive(process)
    system.start(11, status=psutil.STATUS_ZOMBIE)
    assert not reaper.alive(system.process(11))
    system.end(10)
    assert not reaper.alive(process)
    system.start(10)
    assert not reaper.alive(process)
    process.is_running = lambda: True
    assert not reaper.alive(process)


def test_a_process_is_stopped_or_not_or_not_there(system: System) -> None:
    """Only the first does nothing for ever."""
    system.start(10, status=psutil.STATUS_STOPPED)
    system.start(11)
    assert [reaper.is_stopped(number) for number in (10, 11, 12)] == [True, False, False]


# ---- this process as a parent


def test_orphans_come_to_this_process_where_the_system_can_do_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """prctl(2): it says 0 where it did so."""
    asked = []

    class Libc:
        says = 0

        def prctl(self, *arguments: int) -> int:
            asked.append(arguments)
            return self.says

    libc = Libc()
    monkeypatch.setattr(reaper, "_libc", libc)
    assert reaper.become_subreaper()
    assert asked == [(36, 1, 0, 0, 0)]
    libc.says = -1
    assert not reaper.become_subreaper()
    monkeypatch.setattr(reaper, "_libc", None)
    assert not reaper.become_subreaper()


SCORE = "/proc/self/oom_score_adj"


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in place of the system's."""
    file = tmp_path / "score"
    file.write_text("0\n")
    real = open
    monkeypatch.setattr("builtins.open", lambda path, *how, **more: real(file if path == SCORE else path, *how, **more))
    return file


def test_commands_go_first_when_memory_runs_out(score: Path) -> None:
    """What is started inside has the score, this process its own afterwards, also after an error."""
    seen = []

    def start() -> None:
        with reaper.taken_first():
            seen.append(int(score.read_text()))
            raise OSError("planted")

    with pytest.raises(OSError, match="planted"):
        start()
    assert seen == [300]
    assert int(score.read_text()) == 0


def test_who_goes_before_commands_stays_so(score: Path) -> None:
    """A higher score is kept."""
    score.write_text("700\n")
    with reaper.taken_first():
        assert int(score.read_text()) == 700
    assert int(score.read_text()) == 700


def test_a_process_may_go_first_itself(score: Path) -> None:
    """For good, and with a higher score if it has one."""
    reaper.go_first()
    assert int(score.read_text()) == 300
    score.write_text("500\n")
    reaper.go_first()
    assert int(score.read_text()) == 500


def test_a_system_without_scores_runs_commands_all_the_same(score: Path) -> None:
    """A sandbox without /proc."""
    score.unlink()
    with reaper.taken_first():
        assert not score.exists()
    reaper.go_first()
    assert not score.exists()


#: As under a service's `ProtectProc=invisible`: who may not trace a process does not see it. Without a user of its own:
#: the files of this project may be readable to root only.
INVISIBLE = (
    "unshare", "--mount", "sh", "-c", 'mount -t proc -o hidepid=2,gid=65534 proc /proc; exec "$@"', "sh",
    "setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace",
)  # fmt: skip
#: Starts commands as a keeper of a second user does, and says how often one was not found.
STARTS = """
import subprocess
from worker_agent.keeper.processes.reaper import descendants, of_child
from worker_agent.keeper.second_user import close_to_others
import psutil
close_to_others()
missed = 0
for _ in range(150):
    child = subprocess.Popen(["/bin/sleep", "300"])
    descendants(psutil.Process())
    missed += of_child(child.pid) is None
    child.kill()
    child.wait()
    assert of_child(child.pid) is None
print(missed)
"""


def test_each_command_is_found_where_processes_are_invisible() -> None:
    """Of 400 that were looked for once 222 were not: their steps ended as exceptions."""
    done = subprocess.run([*INVISIBLE, sys.executable, "-c", STARTS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
