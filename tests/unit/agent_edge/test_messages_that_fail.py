"""An error in the handling of one message is that message's, of whatever class: the AMQP library raises them, too."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from aiormq import exceptions as amqp

from contracts import topology
from contracts.codec import encode
from contracts.messages import Ping
from worker_agent.link.control import ControlReader
from worker_agent.link.port import Kept
from worker_agent.signatures import Trust

ADDRESS = "agent.u.i.n"


class Publisher:
    def __init__(self) -> None:
        self.buried: list[str] = []

    async def send_to_dead(self, _message: Any, reason: str, _queue: str) -> bool:
        self.buried.append(reason)
        return True


@pytest.mark.parametrize(
    "error",
    [RuntimeError("x"), OSError("x"), TimeoutError(), EOFError(), amqp.AMQPError(), KeyError(), RecursionError()],
)
async def test_it_is_buried_and_the_next_one_is_handled(error: Exception) -> None:
    """Also where it is one of those by which a broken connection is known."""
    handled: list[Any] = []

    def handle(what: Any) -> None:
        handled.append(what)
        if len(handled) == 1:
            raise error

    publisher = Publisher()
    reader = ControlReader(
        ADDRESS,
        kept=Kept(agent="a", deliveries=count(1)),
        trust=Trust(),
        on_input=handle,
        asked=lambda: None,
        dead=publisher.send_to_dead,
    )
    message: Any = SimpleNamespace(
        exchange=topology.CONTROL, routing_key=ADDRESS, user_id="m", headers={},
        body=encode(Ping(session="s", incarnation="i", stored=0)).body,
    )  # fmt: skip
    for _ in range(2):
        await reader.read(message)
    assert publisher.buried == [f"cannot be handled: {type(error).__name__}"]
    assert len(handled) == 2
