"""Sealed sessions (rule 24). An agent that cannot seal parks such offers, and is asked no more than that."""

from __future__ import annotations

from collections.abc import Callable

from conformance.checks.transfers import CONTENT, begin_download, check_file, serve
from conformance.errors import expect
from conformance.requirement import Topic
from conformance.session import Session
from conformance.stage import Stage, shell_args
from contracts import topology
from contracts.codec import encode
from contracts.messages import Claim, Event, Offer, Resume, Sealed, Start
from contracts.timing import SILENCE_BEFORE_RESUME

requirement = Topic()
RULE = 24
#: Seconds in which something that must not happen would have happened.
QUIET = 1.0
#: The number of a command that is only sent as it must not come.
FORGED = 99


def _claimed(stage: Stage) -> tuple[Offer, Claim | None]:
    """An offer that asks for a seal, and its claim; None: it was parked."""
    master = stage.master
    parked = len(master.parked)
    offer = master.offer(seal=True, ask=True)

    def answer() -> list[Claim] | bool:
        return master.all(Claim, lambda claim: claim.offer == offer.offer) or len(master.parked) > parked

    found = master.wait(answer, "a claim of an offer that asks for a seal, or that it is parked")
    return offer, found[0] if isinstance(found, list) else None


def _session(stage: Stage) -> Session | None:
    offer, claim = _claimed(stage)
    if claim is None:
        return None
    expect(claim.key is not None, "it claims an offer that asks for a seal, and gives no key", claim)
    return stage.master.grant(offer, claim)


@requirement("seal.offer", "An offer that asks for a seal is claimed with a key, or parked", rule=RULE)
def offer_with_a_seal(stage: Stage) -> None:
    keys = set()
    for _ in range(2):
        _offer, claim = _claimed(stage)
        if claim is None:
            return
        expect(claim.key is not None, "it claims an offer that asks for a seal, and gives no key", claim)
        expect(claim.key not in keys, "two sessions have the same key", claim)
        keys.add(claim.key)
        stage.master.refuse(claim, "claim")


@requirement("seal.session", "In a session with a seal it opens what is sealed, and seals events and pulls", rule=RULE)
def session_with_a_seal(stage: Stage) -> None:
    master = stage.master
    session = _session(stage)
    if session is None:
        return
    completed = stage.shell(session, 1, "echo ä; exit 3")
    expect(session.data(1, "stdout") == "ä\n".encode(), "its output is not that of the command", completed)
    begin_download(stage, session, 2, CONTENT)
    serve(stage, session, 2, CONTENT)
    check_file(stage, session, 3, CONTENT)
    plain = master.all(Event, lambda event: event.session == session.id and event.seq not in session.sealed)
    expect(not plain, "an event came in plain text", plain[0] if plain else None)
    stage.roll_call()
    resume = stage.resumed(session)
    expect(resume.key is not None, "its resume gives no key", resume)
    told = {command.digest for command in resume.commands}
    expect(told == {"sealed"}, f"its resume tells digests of what is sealed: {sorted(told)}", resume)
    master.grant(session.offer, resume, stored=session.stored)
    stage.shell(session, 4, "echo again")
    stage.finish(session)


@requirement(
    "seal.changed", "What is sent again, changed or in plain text in a session with a seal is not obeyed", rule=RULE
)
def changed(stage: Stage) -> None:
    master = stage.master
    session = _session(stage)
    if session is None:
        return
    stage.shell(session, 1, "echo once")
    assert session.seal is not None
    command = master.command(FORGED, "shell", shell_args("echo forged"))
    forged = Start(session=session.id, incarnation=master.incarnation, command=command)
    good = session.seal.seal(forged)
    plain: dict[str, Sealed | Start] = {
        "in plain text": forged,
        "with a bit flipped": good.model_copy(update={"data": bytes([good.data[0] ^ 1]) + good.data[1:]}),
        "cut": good.model_copy(update={"data": good.data[:-1]}),
        "under another number": good.model_copy(update={"number": good.number + 100}),
    }
    for how, message in plain.items():
        before = len(master.dead)
        master.broker.publish(encode(message), topology.CONTROL, session.address)
        master.pump(QUIET)
        expect(not session.of(FORGED), f"it runs a command that came {how}", message)
        if message is not forged:
            expect(len(master.dead) > before, f"a message that came {how} is not in `dead`", message)
    resumed: Callable[[], list[Resume]] = lambda: master.all(Resume, lambda resume: resume.session == session.id)  # noqa: E731
    master.wait(resumed, "a resume, since it could not open something", 2 * SILENCE_BEFORE_RESUME)
    session.claim = resumed()[-1]
    master.grant(session.offer, session.claim, stored=session.stored)
    completed = stage.shell(session, 2, "echo after")
    expect(session.data(1, "stdout") == b"once\n", "command 1 ran again", completed)
    stage.finish(session)


@requirement(
    "seal.grant", "A session whose offer asks for a seal is given up when it is granted without one", rule=RULE
)
def granted_without(stage: Stage) -> None:
    master = stage.master
    offer, claim = _claimed(stage)
    if claim is None:
        return
    grant = master.grant_of(claim).model_copy(update={"seal": None})
    master.say(grant, topology.CONTROL, claim.address)
    gone = stage.gone(claim.session)
    expect(gone.reason == "refused", f"it is gone for the reason {gone.reason!r}", gone)
    stage.was_given_back(offer)
