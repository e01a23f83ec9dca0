"""Asks the broker which columns this machine's agent serves: listens to what the agent tells the fleet."""

from __future__ import annotations

import asyncio
import time

from aio_pika.abc import AbstractIncomingMessage

from contracts import topology
from contracts.codec import decode
from contracts.errors import BadMessage
from contracts.messages import Status
from contracts.rabbitmq.arguments import Kind, arguments
from contracts.timing import STATUS_INTERVAL
from worker_agent.instance import uuid_in
from worker_agent.link.errors import LIBRARY_ERRORS, LinkError
from worker_agent.link.opening import open_connection
from worker_agent.settings import Settings

#: Seconds between two tries to reach the broker.
AGAIN = 0.5
#: An agent that is seen this long and still names no queue serves none (no master yet, or no column that fits).
SETTLED = 1.5 * STATUS_INTERVAL


async def columns_of(settings: Settings, wait: float) -> tuple[str, ...] | None:
    """Signatures of the queues that the agent with this state folder consumes; None: not seen within `wait` seconds.

    A status that names no queue is waited past for `SETTLED` seconds: the agent may be just starting. After that the
    answer is empty. Raises `StateUnreadable`.
    """
    try:
        return await asyncio.wait_for(_listen(settings), wait)
    except asyncio.TimeoutError:
        return None


async def _listen(settings: Settings) -> tuple[str, ...]:
    while True:
        try:
            return await _listen_once(settings)
        except (*LIBRARY_ERRORS, LinkError, FileNotFoundError):
            await asyncio.sleep(AGAIN)  # the broker, the exchange or the state folder is not there yet


async def _listen_once(settings: Settings) -> tuple[str, ...]:
    from worker_agent.link.options import link_options

    instance = uuid_in(settings.state)
    options = link_options(settings)
    settled: float | None = None
    seen: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()

    async def note(message: AbstractIncomingMessage) -> None:
        try:
            status = decode(message.body, message.headers)
        except BadMessage:
            return  # of another version; not ours, which was installed with this program
        if not isinstance(status, Status) or status.instance != instance or seen.done():
            return
        nonlocal settled
        settled = settled or time.monotonic() + SETTLED
        if status.queues or time.monotonic() >= settled:
            seen.set_result(tuple(topology.queue_signature(queue) or queue for queue in status.queues))

    opened = await open_connection(options, "columns")
    try:
        channel = await opened.connection.channel(publisher_confirms=False)
        # In the agent's own name space, because that is what its account may declare.
        queue = await channel.declare_queue(
            topology.control_address(options.user, instance, "columns"), exclusive=True,
            arguments=arguments(Kind.CONTROL, version=()),
        )  # fmt: skip
        await queue.bind(topology.FLEET, topology.STATUS_KEY)
        await queue.consume(note, no_ack=True)
        return await seen
    finally:
        await opened.close()
