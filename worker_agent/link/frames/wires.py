"""Which wire an agent's URL means."""

from __future__ import annotations

from contracts.operations.office_url import ZMQ
from worker_agent.link.frames import amp
from worker_agent.link.frames.wire import FrameWire
from worker_agent.link.options import LinkOptions


async def open_wire(options: LinkOptions) -> FrameWire:
    """To the master that the options name. Raises `WireLost`."""
    if options.office.wire == ZMQ:
        from worker_agent.link.frames import zeromq  # pyzmq, which agents with other wires do without

        return await zeromq.open_wire(options)
    return await amp.open_wire(options)
