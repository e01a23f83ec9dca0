"""What the kit sees in passing: routing, properties, numbers, sizes, windows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from conformance.session import Session
from conformance.watch import Watch
from contracts.messages import Accept, Claim, Command, Event, Offer, WorkerInfo
from contracts.timing import EVENT_DATA_MAX, FILE_DATA_MAX, WINDOW_BYTES, WINDOW_EVENTS

WHO = {
    "session": "s", "offer": "o", "request": "br-1", "master": "m", "run": 1, "instance": "i", "agent": "a",
    "epoch": 1, "address": "agent.guest.i.n", "ticket": "t",
}  # fmt: skip
GOOD = SimpleNamespace(type="accept", delivery_mode=2)


@pytest.fixture
def session() -> Session:
    offer = Offer(
        offer="o", request="br-1", master="m", user="u", ticket="t", run=1, signature="any", kind="build",
        published=0.0, builddir="b",
    )  # fmt: skip
    found = Session(offer=offer, claim=Claim(**WHO, worker=WorkerInfo(version="1", basedir="/")), incarnation="inc")
    found.started = {n: Command(n=n, name="shell", args={}, digest="d") for n in (1, 2)}
    return found


def play(session: Session, *events: Event) -> list[str]:
    """The ids of what these events violate, one after the other."""
    watch = Watch()
    for event in events:
        watch.event(session, event)
        session.events.setdefault(event.seq, event)
    return [violation.id for violation in watch.violations]


def started(seq: int = 1, n: int = 1) -> Event:
    return Event(session="s", seq=seq, n=n, kind="started", value={"name": "shell", "digest": "d"})


def out(seq: int, size: int = 1, n: int = 1) -> Event:
    return Event(session="s", seq=seq, n=n, kind="stdout", data=b"x" * size)


def piece(seq: int, size: int) -> Event:
    return Event(session="s", seq=seq, n=1, kind="write", data=b"x" * size)


def done(seq: int, n: int = 1) -> Event:
    return Event(session="s", seq=seq, n=n, kind="completed")


def test_a_good_command_violates_nothing(session: Session) -> None:
    """Two of them, and a repetition of the first event."""
    assert play(session, started(), out(2), done(3), started(4, 2), done(5, 2), started()) == []


@pytest.mark.parametrize(
    ("events", "violated"),
    [
        ([started(), out(3)], ["events.numbered"]),
        ([out(1)], ["events.order"]),
        ([started(), done(2), out(3)], ["events.order"]),
        ([started(), started(2)], ["events.order"]),
        ([started(), out(2), out(2, 2)], ["journal.replay"]),
        ([started(), out(2, EVENT_DATA_MAX + 1)], ["events.size"]),
        ([started(), piece(2, FILE_DATA_MAX + 1)], ["events.size"]),
        ([Event(session="s", seq=1, n=1, kind="started", value={"name": "sh"})], ["events.order"]),
        ([started(1, 9)], ["journal.gate"]),
    ],
)
def test_each_fault_is_seen(session: Session, events: list[Event], violated: list[str]) -> None:
    assert play(session, *events) == violated


def test_a_piece_of_a_file_may_be_larger_than_one_of_output(session: Session) -> None:
    """A mebibyte: it becomes no row of Buildbot's."""
    assert play(session, started(), piece(2, FILE_DATA_MAX)) == []


def test_an_event_may_be_transient() -> None:
    """The journal repeats what a broker loses; a claim nobody repeats."""
    watch = Watch()
    watch.reply(started(), "guest.m.events", SimpleNamespace(type="event", delivery_mode=1))
    assert watch.violations == []


def test_the_window_is_two_mebibytes_and_64_events(session: Session) -> None:
    """Full is right, more is not; what is stored does not count."""
    full = [started(), *(out(seq, EVENT_DATA_MAX) for seq in range(2, 2 + WINDOW_BYTES // EVENT_DATA_MAX))]
    assert play(session, *full) == []
    assert play(session, out(len(full) + 1)) == ["events.window"]
    session.stored = len(full)
    assert play(session, out(len(full) + 2)) == []


def test_many_small_events_are_too_many(session: Session) -> None:
    assert play(session, started(), *(out(seq) for seq in range(2, WINDOW_EVENTS + 1))) == []
    assert play(session, out(WINDOW_EVENTS + 1)) == ["events.small"]


@pytest.mark.parametrize(
    ("key", "properties", "violated"),
    [
        ("guest.m.claims", GOOD, []),
        ("guest.m.events", GOOD, ["messages.routing"]),
        ("claims.m", GOOD, ["messages.routing"]),
        ("other.m.claims", GOOD, ["messages.routing"]),
        ("guest.m.claims", SimpleNamespace(type="accept", delivery_mode=1), ["messages.properties"]),
        ("guest.m.claims", SimpleNamespace(type=None, delivery_mode=2), ["messages.properties"]),
    ],
)
def test_where_and_how_a_reply_is_published(key: str, properties: SimpleNamespace, violated: list[str]) -> None:
    """Queue, user and properties."""
    watch = Watch()
    watch.reply(Accept(**WHO, incarnation="inc"), key, properties)
    assert [violation.id for violation in watch.violations] == violated
