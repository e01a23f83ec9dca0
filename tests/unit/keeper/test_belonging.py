"""Which process is which, and whose: numbers that come again, ages, marks, orphans."""

from __future__ import annotations

from dataclasses import replace

import psutil
import pytest

from worker_agent.keeper.processes.belonging import (
    MARK,
    Orphan,
    begins_a_program,
    carries,
    identity_in,
    is_living,
    is_orphan_of,
    is_stopped,
    of_another_command,
    to_be_left,
)

BOOT = "0a1b-2c3d\n"
#: fields 4 to 21 of proc_pid_stat(5), of which none counts
BETWEEN = "2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"


def stat(*, pid: int = 7, name: str = "sh", state: str = "S", started: int = 4711) -> str:
    return f"{pid} ({name}) {state} {BETWEEN} {started} 1000 200 1844\n"


def environ(*entries: str) -> bytes:
    return b"".join(entry.encode() + b"\0" for entry in ("PATH=/bin", *entries, "TERM=dumb"))


# ---- programs that begin


def memory(*, size: int, begin: int, end: int) -> str:
    """Of a whole line: the fields 23, 50 and 51."""
    others = " ".join(str(number) for number in range(24, 50))
    return f"7 (sh) S {BETWEEN} 4711 {size} {others} {begin} {end} 0\n"


@pytest.mark.parametrize(
    ("size", "begin", "end", "begins"),
    [
        (4096, 0, 0, True),  # its stack is there, and nothing else
        (4096, 100, 200, True),  # it has one since the look at it
        (4096, 100, 100, False),  # `env -i`
        (0, 0, 0, False),  # the kernel's, or a zombie
    ],
)
def test_what_will_have_an_environment_in_a_moment_is_told(size: int, begin: int, end: int, begins: bool) -> None:
    """From what is without one at all."""
    assert begins_a_program(memory(size=size, begin=begin, end=end)) is begins


def test_a_process_may_have_any_name_while_it_begins() -> None:
    """Also one with blanks and brackets, behind which other fields would be read."""
    text = " ".join(["7", "(odd) S x)", "R", *("1" for _ in range(4, 50)), "5", "5"])
    assert not begins_a_program(text)
    assert begins_a_program(f"{text.rpartition(' ')[0]} 0")


@pytest.mark.parametrize("text", ["", stat(), memory(size=4096, begin=0, end=0).rsplit(None, 2)[0]])
def test_what_a_system_does_not_tell_is_not_waited_for(text: str) -> None:
    """A line with fewer fields, or none."""
    assert not begins_a_program(text)


# ---- numbers that come again


def test_a_number_that_came_again_is_another_process() -> None:
    """Only its start, and the boot before that, tell."""
    first = identity_in(stat(started=100), BOOT)
    assert first == "0a1b-2c3d/100"
    assert identity_in(stat(started=100), BOOT) == first
    assert identity_in(stat(started=101), BOOT) != first
    assert identity_in(stat(started=100), "another boot\n") != first


def test_what_a_process_does_changes_nothing_of_who_it_is() -> None:
    """It sleeps, it runs, it has another name since an exec."""
    who = identity_in(stat(), BOOT)
    assert {identity_in(stat(state=state, name=name), BOOT) for state in "RSDTtI" for name in ("sh", "cc1")} == {who}


@pytest.mark.parametrize("name", ["a b", "x) S 1 2 3", "((", ")", "", "Z", ") Z 1"])
def test_a_name_is_no_field(name: str) -> None:
    """Anybody may name a process so that its line reads like another's."""
    assert identity_in(stat(name=name), BOOT) == "0a1b-2c3d/4711"


@pytest.mark.parametrize("state", ["Z", "X"])
def test_a_number_that_only_has_to_be_collected_is_nobody(state: str) -> None:
    """Its program is gone."""
    assert identity_in(stat(state=state), BOOT) is None


@pytest.mark.parametrize("text", ["", "7 (sh)", "7 (sh) S 1 2", stat().partition(" 4711")[0]])
def test_a_line_that_breaks_off_is_nobody(text: str) -> None:
    """The system gives an empty one where a process goes while it is read."""
    assert identity_in(text, BOOT) is None


def test_the_start_may_be_the_last_field() -> None:
    """What comes after it is not needed."""
    assert identity_in(f"7 (sh) S {BETWEEN} 4711", BOOT) == "0a1b-2c3d/4711"


# ---- marks


@pytest.mark.parametrize(
    ("entry", "mark", "found"),
    [
        ("s1/2", "s1/2", True),
        ("s1/2", "s1/", True),
        ("s1/21", "s1/2", False),
        ("s1/2", "s1/21", False),
        ("s1/2", "s2/2", False),
        ("s11/2", "s1/", False),
        ("s1/2", "s11/", False),
        ("leave", "s1/", False),
        ("", "s1/2", False),
    ],
)
def test_a_mark_is_one_commands_or_a_sessions(entry: str, mark: str, found: bool) -> None:
    """Sessions and commands whose names begin alike are others."""
    assert carries(environ(f"{MARK}={entry}"), mark) is found


def test_a_mark_is_a_whole_entry() -> None:
    """Its text inside of another variable, or as the end of another's name, is none."""
    assert not carries(environ(f"OLD_{MARK}=s1/2"), "s1/2")
    assert not carries(environ(f"NOTE={MARK}=s1/2"), "s1/")
    assert not carries(b"", "s1/")
    assert carries(f"{MARK}=s1/2".encode(), "s1/2"), "an entry that is the last one, without its end"


def test_a_process_is_another_commands_by_its_mark_only() -> None:
    """One without a mark, or of another session, is not: its age and its parent decide."""
    assert of_another_command(environ(f"{MARK}=s1/1"), "s1/2")
    assert of_another_command(environ(f"{MARK}=s1/21"), "s1/2")
    assert not of_another_command(environ(f"{MARK}=s1/2"), "s1/2")
    assert not of_another_command(environ(f"{MARK}=s2/1"), "s1/2")
    assert not of_another_command(environ(), "s1/2")


def test_a_session_may_have_any_name() -> None:
    """What comes after the last slash is the command's number."""
    assert of_another_command(environ(f"{MARK}=a/b/1"), "a/b/2")
    assert not of_another_command(environ(f"{MARK}=a/1"), "a/b/2")


def test_what_is_to_be_left_says_exactly_that() -> None:
    """Instead of its command's mark."""
    assert to_be_left(environ(f"{MARK}=leave"))
    for other in ("", "leave/1", "LEAVE", "s1/2", "leaver"):
        assert not to_be_left(environ(f"{MARK}={other}"))
    assert not to_be_left(environ())


# ---- states


def test_a_process_lives_until_it_is_a_zombie() -> None:
    """Whatever it does: also one that is stopped, or hangs in the kernel."""
    lives = {psutil.STATUS_RUNNING, psutil.STATUS_SLEEPING, psutil.STATUS_DISK_SLEEP, psutil.STATUS_STOPPED}
    assert all(is_living(status) for status in lives)
    assert not is_living(psutil.STATUS_ZOMBIE)
    assert not is_living(psutil.STATUS_DEAD)


def test_a_process_is_stopped_by_a_signal_or_a_tracer() -> None:
    """One that sleeps is not."""
    stopped = {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}
    assert {status for status in vars(psutil).values() if isinstance(status, str) and is_stopped(status)} == stopped


# ---- orphans

BEGAN, GUARD = 1000.0, 50
ORPHAN = Orphan(pid=60, began=BEGAN, status=psutil.STATUS_SLEEPING, environment=environ())


def of_it(orphan: Orphan) -> bool:
    return is_orphan_of(orphan, mark="s1/2", began=BEGAN, guard=GUARD)


@pytest.mark.parametrize(("later", "its"), [(-0.01, False), (0.0, True), (0.01, True), (100.0, True)])
def test_a_child_that_the_keeper_was_given_is_the_commands_if_it_is_not_older(later: float, its: bool) -> None:
    """What was there before the command began cannot be its; the system counts in hundredths of a second."""
    assert of_it(replace(ORPHAN, began=BEGAN + later)) is its


def test_its_mark_tells_where_its_age_does_not() -> None:
    """An earlier command's is spared, its own and one without any are not."""
    assert not of_it(replace(ORPHAN, environment=environ(f"{MARK}=s1/1")))
    assert of_it(replace(ORPHAN, environment=environ(f"{MARK}=s1/2")))
    assert of_it(replace(ORPHAN, environment=environ(f"{MARK}=another/1")))


def test_neither_the_guard_nor_what_is_to_be_left_nor_a_zombie_is_ended() -> None:
    """The guard would not be there when the keeper is killed next."""
    assert not of_it(replace(ORPHAN, pid=GUARD))
    assert not of_it(replace(ORPHAN, environment=environ(f"{MARK}=leave")))
    assert not of_it(replace(ORPHAN, status=psutil.STATUS_ZOMBIE))
