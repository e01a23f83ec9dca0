"""What an agent shows, and whom it believes (rules 21, 22)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.errors import expect
from conformance.requirement import Topic
from conformance.stage import Stage, shell_args
from contracts import topology
from contracts.codec import encode
from contracts.messages import Accept, Start

requirement = Topic()
#: Seconds in which something that must not happen would have happened.
QUIET = 1.0
#: The number of a command that no master has started.
FORGED = 99


@requirement("ticket.offer", "A claim shows the ticket of the offer that it claims", rule=21)
def of_the_offer(stage: Stage) -> None:
    offer = stage.master.offer()
    claim = stage.master.claimed(offer)
    stage.master.refuse(claim, "claim")
    expect(claim.ticket == offer.ticket, f"its ticket is {claim.ticket!r}, the offer's is {offer.ticket!r}", claim)


@requirement("ticket.grant", "Accepts and resumes show the ticket of the session's last grant", rule=21)
def of_the_grant(stage: Stage) -> None:
    master = stage.master
    session = stage.session()
    for _ in range(2):  # each grant brings another ticket
        given = master.tickets[session.id]
        accept = master.all(Accept)[-1]
        expect(accept.ticket == given, f"the accept's ticket is {accept.ticket!r}, the grant's was {given!r}", accept)
        stage.roll_call()
        resume = stage.resumed(session)
        expect(resume.ticket == given, f"the resume's ticket is {resume.ticket!r}, the grant's was {given!r}", resume)
        master.grant(session.offer, resume, stored=session.stored)
    stage.finish(session)


@requirement("sender.unnamed", "A message without a `user_id`, whose sender nobody vouches for, is not obeyed", rule=22)
def unnamed(stage: Stage) -> None:
    _is_not_obeyed(stage, user_id=None)


@requirement("sender.dead-lettered", "A message that was dead-lettered on its way is not obeyed", rule=22)
def dead_lettered(stage: Stage) -> None:
    death = {"queue": "somebody's", "reason": "expired", "count": 1, "exchange": "", "routing-keys": [""]}
    _is_not_obeyed(stage, headers={"x-death": [death]})


@requirement("sender.other-way", "A message of a session is obeyed only when it came through `bb.control`", rule=22)
def other_way(stage: Stage) -> None:
    _is_not_obeyed(stage, exchange=topology.FLEET, key=topology.CATALOGUE_KEY)


def _is_not_obeyed(
    stage: Stage,
    *,
    exchange: str = topology.CONTROL,
    key: str | None = None,
    user_id: str | None = "",
    headers: Mapping[str, Any] | None = None,
) -> None:
    """A `start` in the right session and incarnation, by a way that proves nothing; then one that counts."""
    master = stage.master
    session = stage.session()
    command = master.command(FORGED, "shell", shell_args("echo forged"))
    wire = encode(Start(session=session.id, incarnation=master.incarnation, command=command))
    master.broker.publish(wire, exchange, session.address if key is None else key, user_id=user_id, headers=headers)
    master.pump(QUIET)
    completed = stage.shell(session, 1, "echo true")
    expect(not session.of(FORGED), "it ran a command that nobody who may has started", completed)
    stage.finish(session)
