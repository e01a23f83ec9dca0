"""One session: what its journal tells of its commands, which of them may start, and what people read of it."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.messages import Event, Executing, SlotStatus
from contracts.timing import SILENCE_BEFORE_RESUME
from worker_agent.core.inputs import PullWanted, SessionMeta
from worker_agent.core.masters import MasterId
from worker_agent.core.session import CommandState, KeeperState, Phase, Session, Stage, commands_of, owner_of
from worker_agent.core.views import awaited, status
from worker_agent.core.window import EventWindow

from .harness import MASTER, command, command_offer, offer


def session(what: Any = None, **fields: Any) -> Session:
    """Of a build, if nothing else is said, held since 100."""
    what = what or offer(title="gtk #1")
    values: dict[str, Any] = {
        "id": "s1", "slot": 0, "phase": Phase.HELD, "since": 100.0, "window": EventWindow(100.0), "run": 4,
        "ticket": "t", "commands": commands_of(what), "heard_at": 100.0, "contact_at": 100.0, "resume_due": 100.0,
    }  # fmt: skip
    return Session(offer=what, **{**values, **fields})


def event(n: int, kind: Any, value: Any = None, **fields: Any) -> Event:
    return Event(session="s1", seq=1, n=n, kind=kind, value=value, **fields)


# ---- what the journal tells


def test_a_command_is_known_by_what_its_keeper_wrote_of_it() -> None:
    """Its digest and name, how long it took and how it ended."""
    held = session()
    held.note(event(1, "started", {"name": "shell", "digest": "d1"}), 101.0)
    known = held.commands[1]
    assert (known.digest, known.name, known.stage) == ("d1", "shell", Stage.RUNNING)
    assert (known.started, known.running, known.completed) == (True, True, False)
    held.note(event(1, "update", ["rc", 3]), 102.0)
    held.note(event(1, "update", ["elapsed", 2]), 102.0)
    assert (known.exit_code, known.elapsed) == (3, 2.0)
    held.note(event(1, "completed", interrupted="Stop"), 103.0)
    assert (known.started, known.running, known.completed) == (True, False, True)
    assert known.interrupted == "Stop"
    assert held.finished_at is None, "a build ends when Buildbot says so"


@pytest.mark.parametrize(
    "value", [["rc", "3"], ["elapsed", "2"], ["rc"], ["rc", 3, 4], ["header", 7], {"rc": 3, "elapsed": 2}, "rc", None]
)
def test_an_update_of_another_shape_says_nothing(value: Any) -> None:
    """Of how it ended, and how long it took."""
    held = session()
    held.note(event(1, "update", value), 101.0)
    assert (held.commands[1].exit_code, held.commands[1].elapsed) == (None, None)


@pytest.mark.parametrize("value", [None, "text", {}, {"digest": None}, {"digest": ""}])
def test_a_command_without_a_digest_is_unknown(value: Any) -> None:
    """No start of a bridge's is the same then."""
    held = session()
    held.note(event(2, "started", value), 101.0)
    assert (held.commands[2].digest, held.commands[2].name) == ("unknown", "")


def test_output_of_a_command_that_waits_says_that_it_runs() -> None:
    """What it was is known from its offer; it runs on as it was."""
    held = session(command_offer(commands=2))
    held.note(event(1, "stdout", data=b"x"), 101.0)
    assert held.commands[1].running
    assert not held.commands[2].started
    held.note(event(1, "completed"), 102.0)
    held.note(event(1, "stdout", data=b"late"), 103.0)
    assert held.commands[1].completed


def test_what_has_completed_waits_for_no_bytes() -> None:
    """Others do."""
    held = session()
    for n in (1, 2):
        held.pulls[n] = (PullWanted(session="s1", n=n, offset=0, length=1), 1.0)
    held.note(event(1, "completed"), 101.0)
    assert set(held.pulls) == {2}


def test_a_command_offer_has_finished_with_its_last_command() -> None:
    """Since then; what is written later changes nothing."""
    held = session(command_offer(commands=2))
    held.note(event(1, "completed"), 101.0)
    assert (held.has_finished, held.finished_at) == (False, None)
    held.note(event(2, "completed"), 102.0)
    assert (held.has_finished, held.finished_at) == (True, 102.0)
    held.note(event(2, "completed"), 103.0)
    assert held.finished_at == 102.0
    empty = session(command_offer(commands=1), commands={})
    assert not empty.has_finished
    build = session(commands={1: CommandState(digest="d", stage=Stage.COMPLETED)})
    assert not build.has_finished


# ---- which may start


def test_commands_of_an_offer_start_one_after_the_other() -> None:
    """By their numbers."""
    held = session(command_offer(commands=3))
    first = held.next_of_offer()
    assert first is held.commands[1]
    held.commands[1].stage = Stage.RUNNING
    assert held.next_of_offer() is None
    held.commands[1].stage = Stage.COMPLETED
    held.commands = dict(reversed(held.commands.items()))
    assert held.next_of_offer() is held.commands[2]
    for known in held.commands.values():
        known.stage = Stage.COMPLETED
    assert held.next_of_offer() is None


def test_behind_an_interrupted_command_of_an_offer_none_is_started() -> None:
    """For the reason of the first; commands of a build are on their own."""
    held = session(command_offer(commands=3))
    assert held.interrupted_earlier() is None
    held.commands[1].interrupted = "Stop"
    held.commands[2].interrupted = "later"
    assert held.interrupted_earlier() == "Stop"
    assert session(commands=held.commands).interrupted_earlier() is None


def test_commands_of_an_offer_are_known_in_full() -> None:
    """Those of a build come with their starts."""
    what = command_offer(commands=2)
    known = commands_of(what)
    assert {n: (each.digest, each.command, each.name, each.stage) for n, each in known.items()} == {
        1: ("d1", command(1), "shell", Stage.WAITING),
        2: ("d2", command(2), "shell", Stage.WAITING),
    }
    assert commands_of(offer(commands=(command(1),))) == {}


# ---- what is told


def test_the_gate_is_open_before_a_grant_and_then_command_by_command() -> None:
    """What the bridge that granted has started."""
    held = session()
    assert held.may_publish(1)
    held.granted = True
    assert not held.may_publish(1)
    held.followed.add(1)
    assert held.may_publish(1)
    assert not held.may_publish(2)


def test_a_resume_tells_what_was_started() -> None:
    """In the order of numbers."""
    held = session(
        commands={
            2: CommandState(digest="d2", stage=Stage.RUNNING),
            1: CommandState(digest="d1", stage=Stage.COMPLETED),
            3: CommandState(digest="d3"),
        }
    )
    assert held.executing() == (
        Executing(n=1, digest="d1", completed=True),
        Executing(n=2, digest="d2", completed=False),
    )
    assert held.executed
    assert not session(commands={3: CommandState(digest="d3")}).executed


@pytest.mark.parametrize(
    ("phase", "resumes", "aside"),
    [(Phase.CLAIMING, False, False), (Phase.HELD, True, False), (Phase.ASIDE, True, True)],
)
def test_what_is_kept_for_the_next_process(phase: Phase, resumes: bool, aside: bool) -> None:
    """All that cannot be read in its journal."""
    held = session(phase=phase, granted=True)
    assert held.meta() == SessionMeta(
        session="s1", offer=held.offer, slot=0, resumes=resumes, aside=aside, granted=True, run=4, ticket="t"
    )
    assert (held.is_resumed, held.takes_slot, held.is_pending) == (resumes, not aside, not resumes)


def test_a_session_belongs_to_its_master_as_one_user() -> None:
    """Nobody else speaks of it."""
    held = session()
    assert held.master == "m"
    assert held.owner == owner_of(held.offer) == MasterId("m", MASTER)


def test_an_offer_of_the_same_request_is_for_the_same_session() -> None:
    """Its own is missed where its delivery is gone; a set-aside one needs none."""
    held = session(offer("o1"))
    assert held.is_offer(offer("o1"))
    assert not held.is_offer(offer("o2", request="br-1"))
    assert not held.is_offer(offer("o1", master="n"))
    assert held.serves(offer("o2", request="br-1"))
    assert held.serves(offer("o1", request="br-9"))
    assert not held.serves(offer("o2", request="br-1", master="n"))
    assert not held.serves(offer("o2"))
    assert held.misses(offer("o1"))
    assert not held.misses(offer("o2", request="br-1"))
    held.delivery = 0
    assert not held.misses(offer("o1"))
    held.delivery, held.phase = None, Phase.ASIDE
    assert not held.misses(offer("o1"))


# ---- what happens to it


def test_a_word_of_its_bridge_begins_the_pauses_anew() -> None:
    """Unless something could not be opened, which is due whatever else is heard."""
    held = session(resume_delay=64.0, answer_due=1.0)
    held.heard(110.0)
    assert (held.answer_due, held.heard_at, held.resume_delay) == (None, 110.0, SILENCE_BEFORE_RESUME)
    assert held.resume_due == 110.0 + SILENCE_BEFORE_RESUME
    held.unopened = True
    held.heard(120.0)
    assert held.resume_due == 110.0 + SILENCE_BEFORE_RESUME
    assert held.heard_at == 120.0


def test_without_its_link_nobody_answers() -> None:
    """Its delivery is void, and what was not confirmed."""
    held = session(delivery=3, answer_due=1.0)
    held.window.last = 1
    held.window.published(1, 7, 100.0)
    held.lose_link()
    assert (held.delivery, held.answer_due, held.window.next) == (None, None, 1)


def test_a_keeper_that_ended_leaves_its_folder() -> None:
    """One that was never asked for has not ended."""
    held = session(keeper=KeeperState.ALIVE)
    assert held.can_run
    held.keeper_ended()
    assert held.keeper is KeeperState.ENDED
    assert not held.can_run
    bare = session()
    bare.keeper_ended()
    assert bare.keeper is KeeperState.NONE


# ---- what people read


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        (Phase.CHECKING, "claiming"), (Phase.CLAIMING, "claiming"), (Phase.CONFIRMING, "claiming"),
        (Phase.AWAITING, "claiming"), (Phase.HELD, "held"), (Phase.ASIDE, "aside"),
    ],
)  # fmt: skip
def test_a_slots_status_says_for_whom_it_is_taken(phase: Phase, state: Any) -> None:
    """And since when."""
    assert status(session(phase=phase)) == SlotStatus(
        state=state, session="s1", master="m", title="gtk #1", since=100.0
    )


@pytest.mark.parametrize(
    ("commands", "silent", "text"),
    [
        ({}, False, "gtk #1 of master m: no command was started yet"),
        ({1: CommandState(digest="d")}, True, "gtk #1 of master m, which is silent: no command was started yet"),
        ({1: CommandState(digest="d", stage=Stage.COMPLETED)}, False, "gtk #1 of master m: no command runs"),
        (
            {1: CommandState(digest="d", stage=Stage.RUNNING, name="shell", step="compile")},
            False,
            "gtk #1 of master m: step compile runs",
        ),
        (
            {
                1: CommandState(digest="d", stage=Stage.RUNNING, name="shell", step="compile"),
                2: CommandState(digest="d", stage=Stage.RUNNING, name="upload"),
                3: CommandState(digest="d", stage=Stage.COMPLETED, name="stat"),
            },
            True,
            "gtk #1 of master m, which is silent: step compile, command upload run",
        ),
    ],
)
def test_what_a_drain_waits_for(commands: dict[int, CommandState], silent: bool, text: str) -> None:
    """In one line; a request that has no title is told by its name."""
    assert awaited(session(commands=commands), silent=silent) == text
    assert awaited(session(offer("o1"), commands={}), silent=False).startswith("br-1 of master m: ")
