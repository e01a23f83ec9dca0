"""Connections that break, masters that fall silent, offers that come again (rules 2, 7-9)."""

from __future__ import annotations

from conformance.errors import expect
from conformance.requirement import Topic
from conformance.stage import Stage
from contracts import topology
from contracts.messages import Claim, Ping, Resume
from contracts.timing import SILENCE_BEFORE_RESUME

requirement = Topic()


@requirement("reconnect.idle", "An idle agent whose connections break comes back and consumes again", rule=2)
def idle(stage: Stage) -> None:
    stage.cutter.cut()
    stage.master.wait(lambda: stage.master.broker.consumers() == 0, "the broker to notice")
    stage.is_free_again()


@requirement(
    "reconnect.resumes", "A session outlives its connections: it resumes under a new address and a higher epoch", rule=2
)
def resumes(stage: Stage) -> None:
    session = stage.session()
    stage.begin_shell(session, 1, "sleep 0.5; echo while away; sleep 3; echo end")
    earlier = session.claim
    stage.cutter.cut()
    resume = stage.resumed(session)
    expect(resume.epoch > earlier.epoch, f"its epoch {resume.epoch} is not above {earlier.epoch}", resume)
    expect(resume.address != earlier.address, "its address is that of the connection that is gone", resume)
    expect(resume.instance == earlier.instance, "it is another instance now", resume)
    stage.master.grant(session.offer, resume, stored=session.stored)
    completed = stage.master.completed(session, 1)
    found = session.data(1, "stdout")
    expect(found == b"ready\nwhile away\nend\n", f"stdout is {found!r}", completed)
    stage.finish(session)


@requirement("reconnect.large", "Output that was under way when the connections broke arrives whole", rule=13)
def large(stage: Stage) -> None:
    session = stage.session()
    stage.begin_shell(session, 1, "head -c 16777216 /dev/zero")
    stage.master.wait(lambda: len(session.data(1, "stdout")) > 1024 * 1024, "a MiB of output")
    stage.cutter.cut()
    stage.master.grant(session.offer, stage.resumed(session), stored=session.stored)
    completed = stage.master.completed(session, 1, timeout=3 * stage.master.patience)
    found = len(session.data(1, "stdout")) - len(b"ready\n")
    expect(found == 16 * 1024 * 1024, f"{found} bytes arrived", completed)
    stage.finish(session)


@requirement("reconnect.claim", "A claim whose connection breaks is forgotten; the offer is claimed anew", rule=1)
def claim(stage: Stage) -> None:
    offer = stage.master.offer()
    first = stage.master.claimed(offer)
    stage.cutter.cut()
    second = stage.master.wait_for(
        Claim, lambda claim: claim.offer == offer.offer and claim is not first, timeout=3 * stage.master.patience
    )
    expect(second.session != first.session, "it claims under the same session id", second)
    stage.master.refuse(second, "claim")


@requirement(
    "redelivery.settled",
    "An offer that the broker took back does not stay: after the release it is claimed anew",
    rule=8,
)
def redelivery(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "true")
    stage.cutter.cut()
    stage.master.grant(session.offer, stage.resumed(session), stored=session.stored)
    stage.shell(session, 2, "true")
    others = [claim for claim in stage.master.all(Claim) if claim.session != session.id]
    expect(not others, "it claims the offer of the session that it holds", others[0] if others else None)
    stage.master.release(session)  # from now on claims of this offer are refused, which acknowledges it
    stage.is_free_again()
    stage.master.wait(lambda: stage.master.broker.waiting() == 0, "the offer to be settled")
    expect(not stage.master.parked, "the offer was parked, and would come back", session.claim)


@requirement("silence.resumes", "An agent that hears nothing of its bridge for 8 s resumes", rule=9)
def silence(stage: Stage) -> None:
    session = stage.session()
    session.silent = True
    stage.master.silent = True
    resume = stage.resumed(session, timeout=SILENCE_BEFORE_RESUME + stage.master.patience)
    stage.master.silent = session.silent = False
    stage.master.grant(session.offer, resume, stored=session.stored)
    stage.finish(session)


@requirement("silence.patient", "An agent that hears its bridge does not resume", rule=9, level="should")
def patient(stage: Stage) -> None:
    session = stage.session()
    stage.master.pump(SILENCE_BEFORE_RESUME + 1.0)
    resumes = stage.master.all(Resume)
    expect(not resumes, "it resumes though it is pinged every 2 s", resumes[0] if resumes else None)
    stage.finish(session)


@requirement("gone.unknown", "A message for a session that the agent does not have is answered `gone`", rule=7)
def unknown(stage: Stage) -> None:
    session = stage.session()
    ping = Ping(session="never-heard-of", incarnation=stage.master.incarnation, stored=0)
    stage.master.say(ping, topology.CONTROL, session.address)
    stage.gone("never-heard-of")
    stage.shell(session, 1, "true")
    stage.finish(session)
