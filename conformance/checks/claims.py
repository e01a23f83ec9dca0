"""Claims and their answers (rules 1, 5-8, 19, 20)."""

from __future__ import annotations

import time

from conformance.errors import expect
from conformance.requirement import Topic
from conformance.stage import Stage
from contracts import topology
from contracts.messages import Alive, Claim, Later
from contracts.timing import CLAIM_TIMEOUT

requirement = Topic()
#: Seconds in which something that must not happen would have happened.
QUIET = 1.0


@requirement("claim.answers", "An offer is answered by a claim that repeats offer, request, master and run", rule=5)
def answers(stage: Stage) -> None:
    offer = stage.master.offer()
    claim = stage.master.claimed(offer)
    said = (claim.offer, claim.request, claim.master, claim.run, claim.kind)
    expect(said == (offer.offer, offer.request, offer.master, offer.run, offer.kind), "it claims another offer", claim)
    expect("shell" in claim.worker.worker_commands, "worker.worker_commands does not name 'shell'", claim)
    alive = Alive(master=stage.master.name, incarnation=stage.master.incarnation)
    expect(stage.master.say(alive, topology.CONTROL, claim.address), "its address leads to no queue", claim)
    stage.master.refuse(claim, "claim")


@requirement("claim.capabilities", "A claim names the agent's capabilities", rule=5, level="should")
def capabilities(stage: Stage) -> None:
    claim = stage.master.claimed(stage.master.offer())
    stage.master.refuse(claim, "claim")
    expect(claim.capabilities, "it names none", claim)


@requirement("claim.expires", "A claim expires after the claim timeout, so that none waits for a dead master", rule=19)
def expires(stage: Stage) -> None:
    claim = stage.master.claimed(stage.master.offer())
    stage.master.refuse(claim, "claim")
    expiration = stage.master.claim_properties[claim.session].expiration
    expect(
        expiration is not None and expiration.isdigit() and int(expiration) <= CLAIM_TIMEOUT * 1000,
        f"its AMQP property expiration is {expiration!r}, not at most {CLAIM_TIMEOUT * 1000:.0f}",
        claim,
    )


@requirement("claim.session", "Each claim has a session id of its own, also a second claim of the same offer", rule=1)
def new_session(stage: Stage) -> None:
    offer = stage.master.offer()
    first = stage.master.claimed(offer)
    stage.master.refuse(first, "claim")
    stage.master.say(offer, topology.OFFERS, stage.master.broker.queue)
    second = stage.master.wait_for(Claim, lambda claim: claim is not first)
    stage.master.refuse(second, "claim")
    expect(first.session != second.session, "two claims under one session id", second)


@requirement(
    "claim.accept", "A grant is answered by an accept of the same session, with the bridge's incarnation", rule=7
)
def accept(stage: Stage) -> None:
    session = stage.session()
    stage.finish(session)


@requirement("claim.accept-again", "A grant that comes again is accepted again", rule=7)
def accept_again(stage: Stage) -> None:
    session = stage.session()
    stage.master.grant(session.offer, session.claim)
    stage.finish(session)


@requirement("claim.nothing-before-grant", "A build's offer that is not granted makes nothing happen", rule=5)
def nothing_before_grant(stage: Stage) -> None:
    offer = stage.master.offer()
    claim = stage.master.claimed(offer)
    stage.master.pump(QUIET)
    others = [message for message in stage.master.received if message is not claim and hasattr(message, "session")]
    stage.master.refuse(claim, "claim")
    expect(not others, "it says something about a session that was not granted", others[0] if others else None)


@requirement("claim.refused", "A refused claim acknowledges its offer, and the next offer is taken", rule=8)
def refused(stage: Stage) -> None:
    offer = stage.master.offer()
    claim = stage.master.claimed(offer)
    stage.master.refuse(claim, "claim")
    stage.is_free()
    expect(not stage.master.parked, "it parked the offer", claim)
    again = [other for other in stage.master.all(Claim) if other.offer == offer.offer and other is not claim]
    expect(not again, "the offer went back to its queue", again[0] if again else None)
    expect(stage.master.broker.waiting() == 0, "the offer is in its queue again", claim)


@requirement("claim.later", "A claim answered `later` parks its offer: rejected without requeue", rule=8)
def later(stage: Stage) -> None:
    offer = stage.master.offer()
    claim = stage.master.claimed(offer)
    message = Later(session=claim.session, master=stage.master.name, request=offer.request)
    stage.master.say(message, topology.CONTROL, claim.address)
    stage.master.wait(lambda: stage.master.parked, "the offer to be parked")
    stage.is_free()


@requirement("claim.unanswered", "A claim without an answer is given up after 5 s and its offer parked", rule=19)
def unanswered(stage: Stage) -> None:
    master = stage.master
    claim = master.claimed(master.offer())
    master.silent = True
    begun = time.monotonic()
    master.wait(lambda: master.parked, "the offer of a silent master to be parked", CLAIM_TIMEOUT + master.patience)
    took = time.monotonic() - begun
    expect(took > CLAIM_TIMEOUT - 1.5, f"it gave up after {took:.1f} s already", claim)
    grant = master.grant_of(claim)
    master.say(grant, topology.CONTROL, claim.address)
    stage.gone(claim.session)


@requirement(
    "claim.silent-master", "Offers of a silent master are parked at once until it is heard again", rule=19,
    level="should",
)  # fmt: skip
def silent_master(stage: Stage) -> None:
    master = stage.master
    master.silent = True
    claim = master.claimed(master.offer())
    master.wait(lambda: master.parked, "the first offer to be parked", CLAIM_TIMEOUT + master.patience)
    master.offer()
    master.wait(lambda: len(master.parked) == 2, "the second offer to be parked", CLAIM_TIMEOUT - 2)
    expect(master.all(Claim) == [claim], "it claimed an offer of a silent master", master.all(Claim)[-1])
    master.silent = False
    master.alive()
    master.pump(0.2)
    stage.is_free()


@requirement("claim.one-in-hand", "While its slot is taken an agent holds no other offer", rule=20)
def one_in_hand(stage: Stage) -> None:
    master = stage.master
    first, second = master.offer(), master.offer()
    claim = master.wait_for(Claim, lambda claim: claim.offer in (first.offer, second.offer))
    session = master.grant(first if claim.offer == first.offer else second, claim)
    other = second if claim.offer == first.offer else first
    master.wait(lambda: master.broker.waiting() == 1, "the second offer to be back in its queue")
    master.pump(QUIET)
    claims = [claim for claim in master.all(Claim) if claim.offer == other.offer]
    expect(not claims, "it claims a second offer while it holds a session", claims[0] if claims else None)
    expect(not master.parked, "it parked the second offer, which another agent could have taken", claim)
    expect(master.broker.waiting() == 1, "it holds a second offer in hand", claim)
    master.release(session)
    claim = master.claimed(other)
    master.refuse(claim, "claim")


@requirement(
    "claim.refuse-after-grant", "A late refuse of the claim does not end a granted session: it resumes", rule=6
)
def refuse_after_grant(stage: Stage) -> None:
    session = stage.session()
    stage.master.refuse(session.claim, "claim")
    resume = stage.resumed(session)
    stage.master.grant(session.offer, resume, stored=session.stored)
    stage.shell(session, 1, "true")
    stage.finish(session)
