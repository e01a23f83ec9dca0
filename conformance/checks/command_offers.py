"""Offers that carry their commands (rules 15-17)."""

from __future__ import annotations

import time
from typing import Any

from conformance.errors import expect
from conformance.requirement import Topic
from conformance.stage import Stage, shell_args
from contracts.messages import Claim, Event, Offer
from contracts.timing import ASIDE_AFTER, CLAIM_TIMEOUT, CLOCK_MARGIN, COMMAND_GRANT_WAIT

requirement = Topic()
#: Published so far after the agent's connection was opened that rule 15 lets it run at once.
LATER = CLOCK_MARGIN + 5.0
#: Seconds in which something that must not happen would have happened.
QUIET = COMMAND_GRANT_WAIT + 1.5


def _offer(stage: Stage, *scripts: str, **fields: Any) -> Offer:
    commands = tuple(stage.master.command(n, "shell", shell_args(script)) for n, script in enumerate(scripts, start=1))
    return stage.master.offer(kind="command", commands=commands, **fields)


def _events(stage: Stage) -> list[Event]:
    return stage.master.all(Event)


def _waits_for_its_grant(stage: Stage, **fields: Any) -> None:
    """An offer with these `fields` runs nothing while its claim is not answered."""
    offer = _offer(stage, "echo too early", **fields)
    claim = stage.master.claimed(offer)
    stage.master.pump(QUIET)
    events = _events(stage)
    expect(not events, "it ran without a grant", events[0] if events else None)
    stage.master.refuse(claim, "claim")


@requirement(
    "command-offer.granted", "A granted command offer runs its commands, one after the other", rule=15, level="should"
)
def granted(stage: Stage) -> None:
    offer = _offer(stage, "echo one", "echo two", ask=True)
    claim = stage.master.claimed(offer)
    expect(claim.kind == "command", f"the claim's kind is {claim.kind!r}", claim)
    session = stage.master.grant(offer, claim)
    for command in offer.commands:
        stage.master.start(session, command)
    stage.master.completed(session, 2)
    expect(session.data(1, "stdout") + session.data(2, "stdout") == b"one\ntwo\n", "wrong output", session.completed(2))
    numbers = [session.events[seq].n for seq in sorted(session.events)]
    expect(numbers == sorted(numbers), "events of the two commands are mixed", session.completed(2))
    stage.finish(session)


@requirement(
    "command-offer.none",
    "A command offer that carries no commands waits for its grant, and runs what is started then",
    rule=15,
)
def none(stage: Stage) -> None:
    offer = _offer(stage, published=time.time() + LATER)
    session = stage.master.grant(offer, stage.master.claimed(offer))
    completed = stage.run(session, 1, "shell", shell_args("echo first"))
    stage.run(session, 2, "shell", shell_args("echo second"))
    expect(session.data(1, "stdout") + session.data(2, "stdout") == b"first\nsecond\n", "wrong output", completed)
    stage.finish(session)


@requirement(
    "command-offer.asks",
    "A command offer that asks (rule 16), or was redelivered, runs nothing before its grant",
    rule=15,
)
def asks(stage: Stage) -> None:
    _waits_for_its_grant(stage, ask=True, published=time.time() + LATER)


@requirement(
    "command-offer.old", "A command offer published before the agent connected runs nothing before its grant", rule=15
)
def old(stage: Stage) -> None:
    _waits_for_its_grant(stage, published=time.time() - 3600)


@requirement("command-offer.fenced", "A command offer with `fencing` runs nothing before its grant", rule=18)
def fenced(stage: Stage) -> None:
    _waits_for_its_grant(stage, fencing=30.0, published=time.time() + LATER)


@requirement(
    "command-offer.at-once",
    "The first delivery of a command offer runs after 1 s without an answer",
    rule=15,
    level="should",
)
def at_once(stage: Stage) -> None:
    offer = _offer(stage, "echo at once", published=time.time() + LATER)
    claim = stage.master.claimed(offer)
    stage.master.wait(
        lambda: [event for event in _events(stage) if event.kind == "completed" and event.session == claim.session],
        "its commands to run without a grant",
        COMMAND_GRANT_WAIT + stage.master.patience,
    )
    session = stage.master.grant(offer, claim)
    stage.master.start(session, offer.commands[0])
    stage.master.completed(session, 1)
    expect(session.data(1, "stdout") == b"at once\n", f"stdout is {session.data(1, 'stdout')!r}", session.completed(1))
    stage.finish(session)


@requirement(
    "command-offer.aside",
    "Finished under a silent master it frees its slot after 10 s and keeps the events",
    rule=17,
    level="should",
)
def aside(stage: Stage) -> None:
    master = stage.master
    offer = _offer(stage, "echo kept", published=time.time() + LATER)
    claim = master.claimed(offer)
    master.silent = True
    master.wait(lambda: _events(stage), "the command's events", CLAIM_TIMEOUT + 2 * master.patience)
    # an agent whose consumers share their prefetch shows nothing when it is free again
    master.pump(ASIDE_AFTER + QUIET)
    master.wait(
        lambda: master.broker.waiting() == 0 and master.broker.consumers() > 0,
        "the agent to consume again",
        2 * master.patience,
    )
    again = [other for other in master.all(Claim) if other.offer == offer.offer and other is not claim]
    expect(not again, "it gave the offer back instead of acknowledging it", again[0] if again else None)
    expect(not master.parked, "it parked the offer instead of acknowledging it", claim)
    master.silent = False
    master.restart()
    stage.roll_call()
    resume = stage.resumed_id(claim.session)
    session = master.grant(offer, resume)
    master.start(session, offer.commands[0])
    master.completed(session, 1)
    expect(session.data(1, "stdout") == b"kept\n", f"stdout is {session.data(1, 'stdout')!r}", session.completed(1))
    stage.finish(session)
