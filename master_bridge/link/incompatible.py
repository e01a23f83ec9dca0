"""What an agent is told that claims or resumes in versions of the protocol which this bridge does not know. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from contracts.agent_names import agent_name
from contracts.errors import UnknownVersion
from contracts.messages import Claimant, Later, Message, Refuse
from contracts.protocol_version import OURS


@dataclass(frozen=True, kw_only=True)
class Incompatible:
    """`answer` goes to `address`, written in `version`, which the agent knows."""

    agent: str
    address: str
    version: int
    answer: Message
    reason: str


def incompatible(error: UnknownVersion, user: str) -> Incompatible | None:
    """The answer to the claim or resume behind `error`; None when it was neither.

    A claim's offer is parked, so that an agent which does know our version gets it, or this one after its upgrade:
    refused, the offer would be gone. A resume is refused, as one of work that nobody can take up; what the agent runs
    for it ends, and its offer goes back. Both answers are the same in all versions, as are the fields read here.

    `user`: the `key_word` of who sent it.
    """
    kind = error.fields.get("t")
    if kind not in ("claim", "resume"):
        return None
    try:
        claimant = Claimant.model_validate({**error.fields, "t": kind})
    except ValidationError:
        return None
    agent = agent_name(claimant.agent, user)
    reason = (
        f"agent {agent!r} speaks protocol version {error.versions}, master {claimant.master!r} speaks {OURS}: "
        "upgrade the older of the two"
    )
    answer: Message
    if kind == "claim":
        answer = Later(session=claimant.session, master=claimant.master, request=claimant.request, reason=reason)
    else:
        answer = Refuse(session=claimant.session, master=claimant.master, re="resume", reason=reason)
    return Incompatible(agent=agent, address=claimant.address, version=claimant.v, answer=answer, reason=reason)
