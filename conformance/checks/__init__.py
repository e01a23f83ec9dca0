"""All requirements, in the order of the report: what a new agent meets first comes first.

What is required, one function each, with the number of its rule in docs/protocol.md. Not here: how a scene is played
(`conformance.stage`).
"""

from __future__ import annotations

from conformance.checks import (
    bad_input,
    claims,
    command_offers,
    commands,
    connection,
    events,
    files,
    interrupts,
    journal,
    leaving,
    operators,
    seals,
    senders,
    statuses,
    transfers,
)
from conformance.requirement import ProtocolRequirement

_TOPICS = (
    claims, commands, files, events, interrupts, transfers, journal, connection, senders, seals, bad_input,
    command_offers, operators, statuses, leaving,
)  # fmt: skip

REQUIREMENTS: tuple[ProtocolRequirement, ...] = tuple(
    requirement for topic in _TOPICS for requirement in topic.requirement.requirements
)
