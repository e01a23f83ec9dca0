"""Every action of the machine is carried out by the part that it is for, in the order given; a failure ends none."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import pytest
import structlog

from contracts.errors import BadSeal
from contracts.messages import Alive, Grant, Offer
from worker_agent.agent.dispatch import Hands
from worker_agent.agent.forever import Errors
from worker_agent.core import actions as do
from worker_agent.core.inputs import SessionMeta
from worker_agent.link.port import LinkListener

from .stage import USER, FakeLink, FakeSessions, command

MESSAGE = Alive(master="m", incarnation="I1")
OFFER = Offer(
    offer="o1", request="br-1", master="m", user=USER, ticket="t", run=1, signature="any", kind="build",
    published=1.0, builddir="b", builder="gtk", build_number=17,
)  # fmt: skip
GRANT = Grant(session="s1", master="m", incarnation="I1", run=1, stored=0, ticket="t")
META = SessionMeta(session="s1", offer=OFFER, slot=0, resumes=False)

#: action -> what is asked of whom; of the log: level and event
CARRIED_OUT: list[tuple[do.Action, tuple[Any, ...]]] = [
    (do.Publish(message=MESSAGE, master="m", to="claims"), ("link", "publish", MESSAGE)),
    (do.Consume(queues=("cap.any",)), ("link", "consume", ("cap.any",))),
    (do.CancelConsumers(), ("link", "cancel")),
    (do.Agree(grant=GRANT, user=USER, request="br-1", address="agent.u.i.1"), ("seals", "agree", "s1")),
    (do.ForgetSeal(session="s1"), ("seals", "forget", "s1")),
    (do.CheckMachine(delivery=1, queue="cap.any", offer="o1"), ("check", 1)),
    (do.Ack(delivery=1), ("link", "settle", 1, "ack")),
    (do.Park(delivery=2), ("link", "settle", 2, "park")),
    (do.GiveBack(delivery=3), ("link", "settle", 3, "give_back")),
    (do.SendToDead(delivery=4, reason="why"), ("link", "send_to_dead", 4, "why")),
    (do.Persist(meta=META), ("sessions", "persist", "s1")),
    (do.OpenSession(session="s1", master="m", slot=0, builddir="b"), ("sessions", "open", "s1")),
    (do.RunCommand(session="s1", command=command()), ("sessions", "order", "s1", "run")),
    (
        do.CompleteUnstarted(session="s1", command=command(), reason="Stop"),
        ("sessions", "order", "s1", "complete_unstarted"),
    ),
    (do.InterruptCommand(session="s1", n=1, reason="Stop"), ("sessions", "order", "s1", "interrupt")),
    (do.FeedData(session="s1", n=1, offset=0, size=1, data=b"1"), ("sessions", "order", "s1", "feed")),
    (do.TrimJournal(session="s1", seq=7), ("sessions", "order", "s1", "trim")),
    (do.Contact(session="s1"), ("sessions", "order", "s1", "contact")),
    (do.CloseSession(session="s1", keep_journal=True), ("sessions", "close", "s1", True)),
    (do.Reject(message=MESSAGE, reason="forged"), ("link", "reject", MESSAGE, "forged")),
    (do.MasterSilent(master="m", silent=True), ("info", "master_silent")),
    (do.MasterSilent(master="m", silent=False), ("info", "master_back")),
    (do.Alarm(event="session_lost", detail="why"), ("error", "session_lost")),
    (do.Report(event="build", session="s1", offer=OFFER), ("info", "build")),
    (do.Exit(), ("left",)),
]


class FakeSeals:
    """Nothing is sealed, and what is asked is written down."""

    def __init__(self) -> None:
        self.orders: list[tuple[Any, ...]] = []
        self.fails: BadSeal | None = None

    def outgoing(self, order: do.Publish, version: int | None = None) -> Any:
        if self.fails is not None:
            raise self.fails
        return order.message

    def agree(self, agree: do.Agree) -> None:
        if self.fails is not None:
            raise self.fails
        self.orders.append(("agree", agree.grant.session))

    def forget(self, session: str) -> None:
        self.orders.append(("forget", session))


class Both:
    """Hands, and all that they did."""

    def __init__(self) -> None:
        nobody = LinkListener(
            on_input=lambda what: None, queue_gone=lambda _: None, sent_to_dead=lambda: None, asked=lambda: None
        )
        self.link = FakeLink(None, listener=nobody)
        self.sessions = FakeSessions()
        self.seals = FakeSeals()
        self.did: list[tuple[Any, ...]] = []
        self.hands = Hands(
            self.link,  # type: ignore[arg-type]  # a double
            self.sessions,  # type: ignore[arg-type]  # a double
            Errors(),
            seals=self.seals,  # type: ignore[arg-type]  # a double
            check=lambda asked: self.did.append(("check", asked.delivery)),
            left=lambda: self.did.append(("left",)),
        )

    def carry_out(self, *actions: do.Action) -> list[tuple[Any, ...]]:
        with structlog.testing.capture_logs() as entries:
            self.hands.carry_out(actions)
        return [
            *self.did,
            *(("link", *order) for order in self.link.orders if order[0] != "hold until"),
            *(("sessions", *order) for order in self.sessions.orders),
            *(("seals", *order) for order in self.seals.orders),
            *((entry["log_level"], entry["event"]) for entry in entries),
        ]


@pytest.mark.parametrize(("action", "expected"), CARRIED_OUT, ids=lambda value: type(value).__name__)
async def test_an_action_is_carried_out(action: do.Action, expected: tuple[Any, ...]) -> None:
    """By one part, once."""
    did = Both().carry_out(action)
    assert [order for order in did if order != ("error", "message_sender_not_verified")] == [expected]


def test_every_action_is_looked_at() -> None:
    """A new one needs a line here."""
    assert {type(action) for action, _ in CARRIED_OUT} == set(get_args(do.Action))


async def test_one_that_fails_takes_no_other_along() -> None:
    """It is said, and the next one is carried out."""
    both = Both()
    both.link.fails = OSError("planted")
    did = both.carry_out(do.Publish(message=MESSAGE, master="m", to="claims"), do.Ack(delivery=1))
    assert ("link", "settle", 1, "ack") in did
    assert ("error", "part_failed") in did


async def test_what_cannot_be_sealed_is_not_said() -> None:
    """An operator hears of it; a seal that is of no use is one, too."""
    both = Both()
    both.seals.fails = BadSeal("no seal yet")
    agree = do.Agree(grant=GRANT, user=USER, request="br-1", address="agent.u.i.1")
    did = both.carry_out(do.Publish(message=GRANT, master="m", to="claims"), agree)
    assert did == [("error", "seal_missing_or_invalid"), ("error", "session_key_rejected")]


async def test_what_follows_a_close_waits_for_it() -> None:
    """A `gone`, and the offer that goes back: not before the last process of the session is gone. The next batch does
    not wait."""
    both = Both()
    gates: list[Any] = []
    both.link.publish = lambda order, after=None: gates.append(after)  # type: ignore[method-assign]
    publish = do.Publish(message=MESSAGE, master="m", to="claims")
    both.carry_out(publish, do.CloseSession(session="s1"), publish, do.GiveBack(delivery=1), publish)
    both.carry_out(publish)
    assert gates[0] is None
    assert isinstance(gates[1], asyncio.Task)
    assert gates[1] is gates[2]
    assert gates[3] is None
    names = [order[0] for order in both.link.orders]
    assert names == ["hold until", "settle"]
    await gates[1]


async def test_a_session_that_cannot_be_written_is_said_and_runs() -> None:
    """A restart would lose it; the work goes on."""
    both = Both()

    def full(meta: SessionMeta) -> None:
        raise OSError(28, "No space left on device")

    both.sessions.persist = full  # type: ignore[method-assign]
    did = both.carry_out(do.Persist(meta=META), do.OpenSession(session="s1", master="m", slot=0, builddir="b"))
    assert did == [("sessions", "open", "s1"), ("error", "session_not_written")]


async def test_a_report_names_whose_work_it_is_and_leaves_out_what_is_not_known() -> None:
    """One line of the log."""
    both = Both()
    fields = {"exit_code": 0.0, "failure": None, "step": ""}
    with structlog.testing.capture_logs() as entries:
        both.hands.carry_out([do.Report(event="command_ended", session="s1", offer=OFFER, fields=fields)])
    assert entries == [
        {
            "event": "command_ended", "log_level": "info", "builder": "gtk", "build_number": 17, "master": "m",
            "session": "s1", "exit_code": 0.0,
        }
    ]  # fmt: skip
