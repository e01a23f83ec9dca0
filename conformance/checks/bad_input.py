"""Newer peers and nonsense: what is not known is ignored, what cannot be read goes to `bb.dead`, nothing ends."""

from __future__ import annotations

import json

from conformance.errors import expect
from conformance.master import Rejected
from conformance.requirement import Topic
from conformance.session import Session
from conformance.stage import Stage, shell_args
from contracts import topology
from contracts.codec import JSON_TYPE, Wire, encode
from contracts.messages import Claim, Start

requirement = Topic()
RULE = "Versions"
EXTRA: dict[str, object] = {"colour": "blue", "nested": {"deep": [1, {"x": None}]}}
#: Seconds in which something that must not happen would have happened.
QUIET = 1.0


@requirement("input.unknown-fields", "Fields that it does not know are ignored: a newer peer may say more", rule=RULE)
def unknown_fields(stage: Stage) -> None:
    _session_with(stage, EXTRA)


@requirement(
    "input.newer-peer", "A peer that speaks newer versions, too (`upto`), is understood in the common one", rule=RULE
)
def newer_peer(stage: Stage) -> None:
    _session_with(stage, {"upto": 99})


def _session_with(stage: Stage, extra: dict[str, object]) -> None:
    """A whole session, in which the master says more than it needs to."""
    master = stage.master
    offer = master.offer(extra=extra)
    claim = master.claimed(offer)
    session = Session(offer=offer, claim=claim, incarnation=master.incarnation)
    master.sessions[session.id] = session
    grant = master.grant_of(claim)
    master.say(grant, topology.CONTROL, claim.address, extra=extra)
    master.wait(lambda: any(getattr(m, "t", "") == "accept" for m in master.received), "'accept'")
    command = master.command(1, "shell", shell_args("echo x"))
    session.started[1] = command
    start = Start(session=session.id, incarnation=master.incarnation, command=command)
    master.say(start, topology.CONTROL, claim.address, extra=extra)
    master.completed(session, 1)
    stage.finish(session)


def _is_dead(stage: Stage, body: bytes) -> Rejected:
    found: list[Rejected] = stage.master.wait(
        lambda: [dead for dead in stage.master.dead if dead.body == body], f"{body!r} in bb.dead"
    )
    return found[0]


def _control(stage: Stage, body: bytes, kind: str = "whatever", headers: dict[str, str] | None = None) -> None:
    """Send this to the agent while it holds a session, and see that it goes on."""
    session = stage.session()
    wire = Wire(type=kind, content_type=JSON_TYPE, body=body, headers=headers or {})
    stage.master.broker.publish(wire, topology.CONTROL, session.address)
    completed = stage.shell(session, 1, "echo still here")
    expect(session.data(1, "stdout") == b"still here\n", "it does not go on as before", completed)
    stage.finish(session)


@requirement("input.unknown-type", "A message of a type that it does not know changes nothing", rule=RULE)
def unknown_type(stage: Stage) -> None:
    _control(stage, json.dumps({"t": "sing", "v": 1, "song": "la"}).encode())


@requirement("input.unknown-version", "A message of a version that it does not speak changes nothing", rule=RULE)
def unknown_version(stage: Stage) -> None:
    session = stage.session()
    stage.begin_shell(session, 1, "sleep 1.5; echo end")
    text = {"t": "release", "v": 99, "session": session.id, "incarnation": stage.master.incarnation}
    wire = Wire(type="release", content_type=JSON_TYPE, body=json.dumps(text).encode())
    stage.master.broker.publish(wire, topology.CONTROL, session.address)
    completed = stage.master.completed(session, 1)
    expect(session.data(1, "stdout") == b"ready\nend\n", "it obeyed a message of version 99", completed)
    stage.finish(session)


@requirement("input.nonsense", "What is not JSON, or no object, or lacks fields, does not end or confuse it", rule=RULE)
def nonsense(stage: Stage) -> None:
    for body in (b"\xff\x00{", b"[1, 2]", b'"text"', b"null", b'{"t": "start", "v": 1}', b'{"v": 1}', b""):
        _control(stage, body)


@requirement(
    "input.control-to-dead",
    "What it cannot read it publishes to bb.dead, with the reason in a header",
    rule=RULE,
    level="should",
)
def control_to_dead(stage: Stage) -> None:
    _control(stage, b"not a message of the kit")
    found = _is_dead(stage, b"not a message of the kit")
    expect(any("reason" in str(name) for name in found.headers), f"no header with a reason: {sorted(found.headers)}")


@requirement(
    "input.offer-to-dead", "What is no offer leaves the offers' queue for bb.dead; the next offer is taken", rule=RULE
)
def offer_to_dead(stage: Stage) -> None:
    for body in (b"no offer of the kit", b'{"t": "offer", "v": 1}'):
        wire = Wire(type="offer", content_type=JSON_TYPE, body=body)
        stage.master.broker.publish(wire, topology.OFFERS, stage.master.broker.queue)
        _is_dead(stage, body)
        stage.is_free()
    expect(stage.master.broker.waiting() == 0, "it is in the queue still")


@requirement(
    "input.offer-of-other-version",
    "An offer of a version that it does not speak is not claimed: parked, or to bb.dead",
    rule=RULE,
)
def offer_of_other_version(stage: Stage) -> None:
    offer = stage.master.offer(request="br-1", run=1, builddir="b")
    stage.master.refuse(stage.master.claimed(offer), "claim")
    text = {**json.loads(encode(offer).body), "v": 99, "offer": "o-of-version-99"}
    wire = Wire(type="offer", content_type=JSON_TYPE, body=json.dumps(text).encode())
    stage.master.broker.publish(wire, topology.OFFERS, stage.master.broker.queue)
    stage.master.wait(lambda: stage.master.parked or stage.master.dead, "the offer to be parked, or in bb.dead")
    claims = [claim for claim in stage.master.all(Claim) if claim.offer == "o-of-version-99"]
    expect(not claims, "it claimed an offer of version 99", claims[0] if claims else None)
    stage.is_free()
