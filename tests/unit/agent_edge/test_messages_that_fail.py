"""An error in the handling of one message is that message's, of whatever class: the AMQP library raises them, too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiormq import exceptions as amqp

from contracts import topology
from contracts.codec import encode
from contracts.messages import Ping
from worker_agent.link.connected import Connected, LinkListener
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

    options: Any = SimpleNamespace(trust=Trust())
    listener = LinkListener(on_input=handle, queue_gone=lambda _: None, sent_to_dead=lambda: None, asked=lambda: None)
    connected = Connected(options, ADDRESS, listener)
    publisher = Publisher()
    connected.publisher = publisher  # type: ignore[assignment]
    message: Any = SimpleNamespace(
        exchange=topology.CONTROL, routing_key=ADDRESS, user_id="m", headers={},
        body=encode(Ping(session="s", incarnation="i", stored=0)).body,
    )  # fmt: skip
    for _ in range(2):
        await connected._control(message)
    assert publisher.buried == [f"cannot be handled: {type(error).__name__}"]
    assert len(handled) == 2
    assert not connected.lost.done()
