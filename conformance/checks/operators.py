"""What operators tell an agent to do, beside its builds (rule 26). Who takes no such offers is asked nothing."""

from __future__ import annotations

from typing import Any

from conformance.errors import expect
from conformance.requirement import Topic
from conformance.session import Session
from conformance.stage import Stage
from contracts import topology
from contracts.codec import encode
from contracts.messages import Claim, Gone, Offer, Status
from contracts.timing import CLAIM_TIMEOUT, DIRECT_MAX, DIRECT_PATIENCE

requirement = Topic()
RULE = 26
#: Seconds in which something that must not happen would have happened.
QUIET = 1.0
#: Seconds of an offer's fencing where its end is waited for.
SHORT_FENCING = 6.0


def _tell(stage: Stage, address: str, **fields: Any) -> Offer:
    """As an operator's program does; `fields` are other than they should be."""
    offer = stage.master.new_offer(**{"direct": True, "ask": True, "fencing": DIRECT_PATIENCE, **fields})
    stage.master.tell_offer(offer, address)
    return offer


def _session(stage: Stage, address: str, **fields: Any) -> Session:
    offer = _tell(stage, address, **fields)
    return stage.master.grant(offer, stage.master.claimed(offer))


def _claims(stage: Stage, *offers: Offer) -> list[Claim]:
    return stage.master.all(Claim, lambda claim: claim.offer in [offer.offer for offer in offers])


def _has_it_beside_its_slots(status: Status) -> bool:
    return any(slot.direct for slot in status.slots) and all(slot.state == "idle" for slot in status.for_builds)


@requirement(
    "operators.status", "Asked for its status, it says there that operators can tell it offers", rule=RULE,
    level="should",
)  # fmt: skip
def status(stage: Stage) -> None:
    told = stage.status()
    expect(told.direct, "its status does not say `direct`", told)
    expect(told.address and told.state == "ready", "its status is not that of an idle agent", told)


@requirement(
    "operators.session",
    "An offer that an operator tells it is claimed, runs beside its builds, and takes none of its slots",
    rule=RULE,
)
def session(stage: Stage) -> None:
    address = stage.operators_address()
    if address is None:
        return
    offer = _tell(stage, address)
    claim = stage.master.claimed(offer)
    said = (claim.offer, claim.request, claim.master, claim.run, claim.ticket)
    expect(said == (offer.offer, offer.request, offer.master, offer.run, offer.ticket), "it claims another", claim)
    session = stage.master.grant(offer, claim)
    completed = stage.shell(session, 1, "echo done")
    expect(session.data(1, "stdout") == b"done\n", "wrong output", completed)
    stage.is_free()
    stage.master.ask_status()
    stage.master.wait_for(Status, _has_it_beside_its_slots)
    stage.finish(session)
    expect(not stage.master.parked and not stage.master.dead, "it settled an offer that came from no queue")


@requirement("operators.busy", "It takes an operator's offer while it holds a build, and both go on", rule=RULE)
def busy(stage: Stage) -> None:
    address = stage.operators_address()
    if address is None:
        return
    build = stage.session()
    stage.begin_shell(build, 1, "trap 'echo built; exit' TERM; echo $$; while :; do sleep 0.1; done")
    pid = stage.pid_of(build, 1)
    session = _session(stage, address)
    stage.shell(session, 1, f"kill -s TERM {pid}; echo done")
    completed = stage.master.completed(build, 1)
    expect(session.data(1, "stdout") == b"done\n", "wrong output of the operator's command", session.completed(1))
    expect(build.data(1, "stdout").endswith(b"\nbuilt\n"), "wrong output of the build", completed)
    stage.master.release(session)
    stage.finish(build)


@requirement("operators.again", "An operator's offer that is said again is claimed once", rule=RULE)
def again(stage: Stage) -> None:
    address = stage.operators_address()
    if address is None:
        return
    offer = _tell(stage, address)
    claim = stage.master.claimed(offer)
    stage.master.tell_offer(offer, address)
    session = stage.master.grant(offer, claim)
    stage.master.tell_offer(offer, address)
    stage.shell(session, 1, "true")
    stage.master.pump(QUIET)
    claims = _claims(stage, offer)
    expect(len(claims) == 1, f"{len(claims)} claims of one offer", claims[-1])
    stage.finish(session)


@requirement(
    "operators.believed",
    "What is told to it and is no operator's offer is not claimed: not direct, no build, without fencing, another's",
    rule=RULE,
)
def believed(stage: Stage) -> None:
    address = stage.operators_address()
    if address is None:
        return
    others: list[dict[str, Any]] = [
        {"direct": False}, {"kind": "command"}, {"fencing": None}, {"user": "somebody-else"},
    ]  # fmt: skip
    offers = [_tell(stage, address, **wrong) for wrong in others]
    session = _session(stage, address)
    stage.shell(session, 1, "true")
    stage.master.pump(QUIET)
    claims = _claims(stage, *offers)
    expect(not claims, "it claims what is no operator's offer", claims[0] if claims else None)
    stage.finish(session)


@requirement("operators.queue", "An operator's offer that comes out of a queue goes to `bb.dead`", rule=RULE)
def queue(stage: Stage) -> None:
    if stage.operators_address() is None:
        return
    offer = stage.master.offer(direct=True, ask=True, fencing=DIRECT_PATIENCE)
    body = encode(offer).body
    stage.master.wait(lambda: [dead for dead in stage.master.dead if dead.body == body], "the offer to be in bb.dead")
    claims = _claims(stage, offer)
    expect(not claims, "it claims it", claims[0] if claims else None)
    stage.is_free()


@requirement(
    "operators.room", f"It holds at most {DIRECT_MAX} of them, drops what is more, and takes it when there is room",
    rule=RULE,
)  # fmt: skip
def room(stage: Stage) -> None:
    address = stage.operators_address()
    if address is None:
        return
    sessions = [_session(stage, address) for _ in range(DIRECT_MAX)]
    more = _tell(stage, address)
    stage.master.pump(QUIET)
    claims = _claims(stage, more)
    expect(not claims, f"it holds more than {DIRECT_MAX}", claims[0] if claims else None)
    for session in sessions:
        stage.shell(session, 1, "true")
    stage.master.release(sessions[0])

    def claimed() -> list[Claim]:
        stage.master.tell_offer(more, address)
        stage.master.pump(QUIET)
        return _claims(stage, more)

    stage.master.refuse(stage.master.wait(claimed, "a claim, now that there is room")[0], "claim")
    for session in sessions[1:]:
        stage.master.release(session)
    stage.is_free()


@requirement(
    "operators.unanswered",
    "An operator's claim that nobody answers is given up after 5 s; it makes no master silent",
    rule=RULE,
)
def unanswered(stage: Stage) -> None:
    address = stage.operators_address()
    if address is None:
        return
    master = stage.master
    master.silent = True
    offer = _tell(stage, address)
    first = master.claimed(offer)

    def claimed_again() -> list[Claim]:
        master.tell_offer(offer, address)
        master.pump(QUIET)
        return [claim for claim in _claims(stage, offer) if claim.session != first.session]

    second = master.wait(
        claimed_again, "another claim of the offer that is said again", CLAIM_TIMEOUT + master.patience
    )[0]
    master.say(master.grant_of(first), topology.CONTROL, first.address)
    stage.gone(first.session)
    master.refuse(second, "claim")
    stage.is_free()


@requirement("operators.reconnects", "Sessions of builds and of operators outlive its connections", rule=RULE)
def reconnects(stage: Stage) -> None:
    address = stage.operators_address()
    if address is None:
        return
    build, session = stage.session(), _session(stage, address)
    for each in (build, session):
        stage.begin_shell(each, 1, "sleep 3; echo end")
    stage.cutter.cut()
    for each in (build, session):
        stage.master.grant(each.offer, stage.resumed(each), stored=each.stored)
    for each in (build, session):
        completed = stage.master.completed(each, 1)
        expect(each.data(1, "stdout") == b"ready\nend\n", "wrong output", completed)
    stage.master.release(session)
    stage.master.release(build)
    stage.is_free_again()


@requirement(
    "operators.fencing", "An operator who is silent for longer than `fencing` is gone: his session ends", rule=RULE
)
def fencing(stage: Stage) -> None:
    address = stage.operators_address()
    if address is None:
        return
    master = stage.master
    session = _session(stage, address, fencing=SHORT_FENCING)
    stage.shell(session, 1, "true")
    master.silent = session.silent = True
    found = master.wait_for(
        Gone, lambda gone: gone.session == session.id, timeout=SHORT_FENCING + max(master.patience, 10.0)
    )
    master.silent = False
    expect(found.reason == "killed", f"its reason is {found.reason}", found)
    stage.is_free()


@requirement(
    "operators.leaving", "While it leaves it takes no operator's offer, and finishes those that it has", rule=RULE,
    own_worker=True,
)  # fmt: skip
def leaving(stage: Stage) -> None:
    worker, address = stage.worker, stage.operators_address()
    assert worker is not None
    if address is None:
        return
    session = _session(stage, address)
    stage.begin_shell(session, 1, "sleep 2; echo end")
    worker.terminate()
    stage.master.pump(0.5)
    offer = _tell(stage, address)
    completed = stage.master.completed(session, 1)
    expect(session.data(1, "stdout") == b"ready\nend\n", "it did not finish the operator's command", completed)
    claims = _claims(stage, offer)
    expect(not claims, "it takes an operator's offer while it leaves", claims[0] if claims else None)
    stage.master.release(session)
    stage.master.wait(lambda: not worker.running, "it to leave", 2 * stage.master.patience)
    expect(worker.status == 0, f"its status is {worker.status}")
