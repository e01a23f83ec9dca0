"""Asks the broker which columns this machine's agent serves: listens to what the agent tells the fleet."""

from __future__ import annotations

import asyncio
import json

from aio_pika import connect
from aio_pika.abc import AbstractIncomingMessage

from contracts import topology
from contracts.codec import decode
from contracts.errors import BadMessage
from contracts.messages import Status
from worker_agent.link.errors import LIBRARY_ERRORS
from worker_agent.settings import Settings

#: Seconds between two tries to reach the broker.
AGAIN = 0.5


async def columns_of(settings: Settings, wait: float) -> tuple[str, ...] | None:
    """Signatures of the queues that the agent with this state folder consumes; None: not seen within `wait` seconds.

    A status that names no queue yet is waited past: the agent is just starting.
    """
    try:
        return await asyncio.wait_for(_listen(settings), wait)
    except asyncio.TimeoutError:
        return None


async def _listen(settings: Settings) -> tuple[str, ...]:
    while True:
        try:
            return await _listen_once(settings)
        except (*LIBRARY_ERRORS, FileNotFoundError):
            await asyncio.sleep(AGAIN)  # the broker, the exchange or the state folder is not there yet


async def _listen_once(settings: Settings) -> tuple[str, ...]:
    from worker_agent.agent import link_options

    instance = json.loads((settings.state / "instance.json").read_text(encoding="utf-8"))["uuid"]
    options = link_options(settings)
    seen: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()

    async def note(message: AbstractIncomingMessage) -> None:
        try:
            status = decode(message.body, message.headers)
        except BadMessage:
            return  # of another version; not ours, which was installed with this program
        if isinstance(status, Status) and status.instance == instance and status.queues and not seen.done():
            seen.set_result(tuple(topology.queue_signature(queue) or queue for queue in status.queues))

    connection = await connect(options.connection_url(), ssl_context=options.tls_context())
    try:
        channel = await connection.channel(publisher_confirms=False)
        # In the agent's own name space, because that is what its account may declare.
        queue = await channel.declare_queue(
            topology.control_address(options.user, instance, "columns"), exclusive=True,
            arguments={"x-queue-type": "classic"},
        )  # fmt: skip
        await queue.bind(topology.FLEET, topology.STATUS_KEY)
        await queue.consume(note, no_ack=True)
        return await seen
    finally:
        await connection.close()
