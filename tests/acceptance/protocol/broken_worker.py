"""`python -m tests.acceptance.protocol.broken_worker FAULT …`: our agent with one fault; … are its own options."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import aiormq

from contracts import codec
from contracts.codec import Wire
from contracts.errors import BadMessage
from contracts.messages import AnyMessage, Start, Status
from contracts.trust.envelope import Envelope
from tests.acceptance.protocol.every_fault import FAULTS
from tests.acceptance.protocol.faults import Fault, Memory
from worker_agent.core.actions import Action
from worker_agent.core.inputs import Input
from worker_agent.core.machine import AgentMachine
from worker_agent.link import control, incoming
from worker_agent.link.amqp import publisher
from worker_agent.reporting import telling
from worker_agent.reporting.pace import StatusPace


def break_machine(fault: Fault) -> None:
    original = AgentMachine.handle
    memories: dict[int, Memory] = {}

    def handle(self: AgentMachine, input: Input, now: float) -> list[Action]:
        memory = memories.setdefault(id(self), Memory(self))
        actions: list[Action] = []
        for heard in fault.hear(input, memory):
            actions += original(self, heard, now)
            fault.after(heard, memory)
        return [done for action in actions for done in fault.do(action, memory)]

    AgentMachine.handle = handle  # type: ignore[method-assign]


def break_wire(how: str) -> None:
    def encode(message: Any) -> Wire:
        return replace(codec.encode(message), type="message")

    def decode(body: bytes, headers: Mapping[str, Any] | None = None) -> AnyMessage:
        if how == "any version":
            body = body.replace(b'"v": 99', b'"v": 1')
        if how == "strict" and b'"colour"' in body:
            raise BadMessage("a field of the future")
        if how == "one version" and b'"upto": 99' in body:
            raise BadMessage("a version of the future")
        try:
            return codec.decode(body, headers)
        except BadMessage:
            if how == "exit":
                os._exit(3)
            raise

    def of(**said: Any) -> Envelope:
        if how == "unnamed":
            said["user_id"] = said["user_id"] or "guest"
        return replace(believed(**said), dead_lettered=False) if how == "dead-lettered" else believed(**said)

    believed = Envelope.of

    async def send_to_dead(*_: Any) -> bool:
        return True

    def no_operators(_: Any, fields: Mapping[str, Any]) -> Status:
        return Status.model_validate({**fields, "direct": False})

    # names are replaced where they are used, which types do not allow
    sending: Any = publisher
    hearing: Any = control
    receiving: Any = incoming
    told: Any = telling
    if how == "prefetch":
        qos = aiormq.Channel.basic_qos
        aiormq.Channel.basic_qos = lambda self, **_: qos(self, prefetch_count=10)  # type: ignore[method-assign]
    elif how == "type":
        sending.encode = encode
    elif how in ("unnamed", "dead-lettered"):
        Envelope.of = of  # type: ignore[method-assign]
    elif how == "other way":
        hearing.Catalogue = Start
    elif how == "no operators":
        told.Status = type("Mute", (Status,), {"model_validate": classmethod(no_operators)})
    elif how == "tells often":
        StatusPace.every = lambda *_: 5  # type: ignore[method-assign]
    elif how == "tells seldom":
        heard: list[int] = []
        pace: Any = StatusPace
        pace.master_wants = lambda _, every, now: heard.append(every)
        pace.every = lambda *_: max(heard, default=5)
        pace.look = lambda *_: max(heard, default=5) == 5
    elif how == "bury nothing":
        sending.Publisher.send_to_dead = send_to_dead
    else:
        hearing.decode = receiving.decode = decode


def main() -> None:
    fault = FAULTS[sys.argv.pop(1)]
    break_machine(fault)
    if fault.wire:
        break_wire(fault.wire)
    from worker_agent.program.cli import main as run

    run()


if __name__ == "__main__":
    main()
