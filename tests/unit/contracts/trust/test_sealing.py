"""Rule 24, both ends against each other and against the vectors: what fits nowhere else, and is opened once."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from contracts import vectors
from contracts.codec import decode, encode
from contracts.errors import BadSeal, NotBelieved
from contracts.messages import (
    AnyMessage,
    Claim,
    Command,
    Data,
    Event,
    Executing,
    Grant,
    Interrupt,
    Message,
    Resume,
    Sealed,
    Start,
    WorkerInfo,
)
from contracts.timing import EVENT_DATA_MAX
from contracts.trust import sealing
from contracts.trust.sealing import Parties, SealedSession
from master_bridge.core.actions import Terms
from master_bridge.link.seals import Seals as MasterSeals
from worker_agent.core.actions import Agree, Publish
from worker_agent.link.seals import Seals as AgentSeals

PARTIES = Parties(
    master="m1", incarnation="i1", request="br-1", signature="gtk", run=7, session="s1", address="agent.u.i.n1"
)
COMMAND = Command(n=1, name="shell", args={"command": ["deploy", "--key", "hunter2"]}, digest="d")
START = Start(session="s1", incarnation="i1", command=COMMAND)
EVENT = Event(session="s1", seq=1, n=1, kind="stdout", data=b"hunter2")
PRIVATE = bytes(range(32))


def ends(parties: Parties = PARTIES, seed: int = 1) -> tuple[SealedSession, SealedSession]:
    master = sealing.seal_to(sealing.public_key(PRIVATE), parties, random.Random(seed).randbytes)
    return master, sealing.seal_of(master.key, PRIVATE, parties)


def carried(message: Message) -> AnyMessage:
    """Over the wire."""
    wire = encode(message)
    return decode(wire.body, wire.headers)


@pytest.mark.parametrize("message", [START, Interrupt(session="s1", incarnation="i1", n=1, reason="hunter2"),
    Data(session="s1", incarnation="i1", n=1, offset=0, size=7, data=b"hunter2"),
    Data(session="s1", incarnation="i1", n=1, offset=0, size=0), EVENT,
    EVENT.model_copy(update={"data": b"x" * EVENT_DATA_MAX}),
    Event(session="s1", seq=2, n=1, kind="update", value=["rc", 0])])  # fmt: skip
def test_what_one_end_seals_the_other_opens_and_nobody_else_reads(message: Start | Event) -> None:
    master, agent = ends()
    one, other = (agent, master) if isinstance(message, Event) else (master, agent)
    sealed = one.seal(message)
    wire = encode(sealed)
    assert b"hunter2" not in wire.body
    assert "hunter2" not in str(wire.headers)
    opened = other.open(carried(sealed))  # type: ignore[arg-type]  # it is read as what it was written as
    assert opened == message
    with pytest.raises(BadSeal):
        one.open(sealed)  # not in the other direction


@pytest.mark.parametrize(
    "change",
    [
        {"master": "m2"}, {"incarnation": "i2"}, {"request": "br-2"}, {"signature": "gtk+x"}, {"run": 8},
        {"session": "s2"}, {"address": "agent.u.i.n2"}, {"request": "br-1g", "signature": "tk"},
    ],
    ids=str,
)  # fmt: skip
def test_it_fits_no_other_session(change: dict[str, object]) -> None:
    """Each of the parties counts, and where one text ends and the next begins."""
    master, _agent = ends()
    other = sealing.seal_of(master.key, PRIVATE, replace(PARTIES, **change))  # type: ignore[arg-type]
    with pytest.raises(BadSeal):
        other.open(master.seal(START))


CHANGES: dict[str, Callable[[Sealed], dict[str, object]]] = {
    "a bit": lambda sealed: {"data": bytes([sealed.data[0] ^ 1]) + sealed.data[1:]},
    "the last bit": lambda sealed: {"data": sealed.data[:-1] + bytes([sealed.data[-1] ^ 1])},
    "cut": lambda sealed: {"data": sealed.data[:-1]},
    "short": lambda sealed: {"data": sealed.data[:15]},
    "empty": lambda sealed: {"data": b""},
    "longer": lambda sealed: {"data": sealed.data + b"\0"},
    "another number": lambda sealed: {"number": sealed.number + 1},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_not_opened_and_what_is_right_still_is(change: str) -> None:
    master, agent = ends()
    sealed = master.seal(START)
    with pytest.raises(BadSeal):
        agent.open(sealed.model_copy(update=CHANGES[change](sealed)))
    assert agent.open(sealed) == START


def test_each_number_is_opened_once_in_whatever_order() -> None:
    """Channels may overtake each other; what comes twice, or long after, does not count. The memory is bounded."""
    master, agent = ends()
    many = [master.seal(START) for _ in range(4 * sealing.WINDOW)]
    order = list(range(len(many)))
    for first in range(0, len(many), 10):
        chunk = order[first : first + 10]
        random.Random(first).shuffle(chunk)
        order[first : first + 10] = chunk
    for index in order:
        assert agent.open(many[index]) == START
        with pytest.raises(BadSeal, match="came before"):
            agent.open(many[index])
    with pytest.raises(BadSeal, match="came before"):
        agent.open(many[0])
    assert len(agent._opened) <= 2 * sealing.WINDOW + 1


def test_an_event_that_the_broker_brings_again_is_opened_again() -> None:
    """The events queue is durable: after a lost link it hands out what was not acknowledged."""
    master, agent = ends()
    sealed = agent.seal(EVENT)
    assert [master.open(sealed), master.open(sealed)] == [EVENT, EVENT]


def test_what_is_sealed_says_the_session_that_it_says_outside() -> None:
    master, agent = ends()
    with pytest.raises(BadSeal, match="another session"):
        agent.open(master.seal(START.model_copy(update={"session": "s2"})).model_copy(update={"session": "s1"}))
    with pytest.raises(BadSeal, match="another session or direction"):
        agent.open(master.seal(EVENT))


def test_both_ends_are_those_of_the_vectors() -> None:
    """What another language must make of the same keys."""
    given = vectors.seals()
    parties = Parties(**given["parties"])
    assert parties.info() == base64.b64decode(given["info"])
    private = bytes.fromhex(given["agent"]["private"])
    assert sealing.public_key(private) == given["agent"]["public"]
    master = sealing.seal_to(given["agent"]["public"], parties, lambda _length: bytes.fromhex(given["ephemeral"]))
    assert master.key == given["seal"]
    agent = sealing.seal_of(given["seal"], private, parties)
    for vector in given["messages"]:
        one, other = (master, agent) if vector["from"] == "master" else (agent, master)
        message, sealed = (
            decode(base64.b64decode(vector[part]["wire"]["body"]), vector[part]["wire"]["headers"])
            for part in ("message", "sealed")
        )
        assert one.seal(message) == sealed  # type: ignore[arg-type]
        assert other.open(sealed) == message


# -- the edges of master and agent ------------------------------------------------------------------------------------

ADDRESS = PARTIES.address
GRANT = Grant(session="s1", master="m1", incarnation="i1", run=7, ticket="t", stored=0)
CLAIM = Claim(
    session="s1", offer="o1", request="br-1", master="m1", run=7, instance="i", agent="a", epoch=1, address=ADDRESS,
    ticket="t", worker=WorkerInfo(version="1", basedir="/b"),
)  # fmt: skip


class Both:
    """A master's and an agent's edge with one session between them."""

    def __init__(self) -> None:
        self.master = MasterSeals(master="m1", incarnation="i1", random=random.Random(1).randbytes)
        self.agent = AgentSeals(random=random.Random(2).randbytes)

    def terms(self) -> Terms:
        claim = self.agent.outgoing(Publish(message=CLAIM, master="m1", to="claims", sealed=True))
        assert isinstance(claim, Claim)
        assert claim.key is not None
        return Terms(key=claim.key, user="u", request="br-1", signature="gtk")

    def grant(self, address: str = ADDRESS) -> Grant:
        grant = self.master.outgoing(GRANT, address, self.terms())
        assert isinstance(grant, Grant)
        self.agent.agree(Agree(grant=grant, user="bridge", request="br-1", address=address))
        return grant

    def start(self, address: str = ADDRESS) -> AnyMessage:
        return carried(self.master.outgoing(START, address, self.terms()))

    def event(self) -> AnyMessage:
        return carried(self.agent.outgoing(Publish(message=EVENT, master="m1", to="events", sealed=True)))


def test_claim_grant_start_and_event_through_both_edges() -> None:
    both = Both()
    both.grant()
    assert both.agent.incoming(both.start(), "bridge") == START
    assert both.master.incoming(both.event(), "u") == EVENT


def test_nothing_is_said_in_plain_text_before_there_are_keys_or_after() -> None:
    both = Both()
    with pytest.raises(BadSeal):
        both.start()
    with pytest.raises(BadSeal):
        both.event()
    both.grant()
    both.master.forget("s1")
    both.agent.forget("s1")
    assert (len(both.master), len(both.agent)) == (0, 0)
    with pytest.raises(BadSeal):
        both.start()
    with pytest.raises(BadSeal):
        both.event()


def test_a_grant_that_is_sent_again_does_not_spoil_what_is_under_way() -> None:
    both = Both()
    first = both.grant()
    event, start = both.event(), both.start()
    assert both.grant().seal == first.seal
    assert both.agent.incoming(start, "bridge") == START
    assert both.master.incoming(event, "u") == EVENT


def test_a_new_address_and_a_new_process_get_another_seal() -> None:
    """What an agent said under its old one is no harm and is as if it had never come."""
    both = Both()
    first, old = both.grant(), both.event()
    assert both.grant("agent.u.i.n2").seal != first.seal
    both.agent = AgentSeals(random=random.Random(3).randbytes)
    again = both.grant("agent.u.i.n3")
    assert again.seal is not None
    assert both.agent.incoming(both.start("agent.u.i.n3"), "bridge") == START
    assert both.master.incoming(old, "u") == EVENT  # of its last address but one; still known
    later = MasterSeals(master="m1", incarnation="i2", random=random.Random(4).randbytes)
    assert later.incoming(old, "u") is None


def test_of_another_account_nothing_is_opened_and_no_number_is_taken() -> None:
    """Or whoever sends a copy first would have the real one refused."""
    both = Both()
    both.grant()
    start, event = both.start(), both.event()
    assert both.agent.incoming(start, "thief") == start
    assert both.agent.incoming(start, "bridge") == START
    with pytest.raises(NotBelieved, match="user thief spoke for session s1"):
        both.master.incoming(event, "thief")
    assert both.master.incoming(event, "u") == EVENT


def test_what_must_be_sealed_and_came_in_plain_text_is_not_believed() -> None:
    both = Both()
    assert both.master.incoming(EVENT, "u") == EVENT
    both.grant()
    with pytest.raises(NotBelieved, match="plain text"):
        both.master.incoming(EVENT, "u")


def test_a_resume_does_not_tell_what_its_commands_are() -> None:
    """The digest of a command with a short secret in it could be tried out."""
    both = Both()
    fields = {name: getattr(CLAIM, name) for name in type(CLAIM).model_fields if name not in ("t", "key")}
    resume = Resume(**fields, commands=(Executing(n=1, digest="d1", completed=True),))
    sent = both.agent.outgoing(Publish(message=resume, master="m1", to="claims", sealed=True))
    assert isinstance(sent, Resume)
    assert sent.commands == (Executing(n=1, digest="sealed", completed=True),)
    assert sent.key is not None
    assert both.agent.outgoing(Publish(message=resume, master="m1", to="claims")) == resume


def test_a_key_that_is_none_counts_as_none() -> None:
    """A point of low order: the claim is answered as one without a key."""
    both = Both()
    for key in ("00" * 32, "01" + "00" * 31):
        claim = both.master.incoming(CLAIM.model_copy(update={"key": key}), "u")
        assert isinstance(claim, Claim)
        assert claim.key is None
    good = CLAIM.model_copy(update={"key": sealing.public_key(PRIVATE)})
    assert both.master.incoming(good, "u") == good
