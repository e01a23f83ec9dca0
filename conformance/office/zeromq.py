"""Agents that come by ZeroMQ: a ROUTER with CURVE, behind a relay that can cut connections."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from conformance.office.entrance import ACCOUNT, Came
from conformance.proxy import Proxy
from contracts.frames.codec import Packed

#: Messages that libzmq holds, each way: as many as a check may send before the agent reads.
HELD = 1_000
#: Milliseconds for an agent to read what it is sent.
PATIENCE = 15_000


class ZMQLine:
    def __init__(self, router: Any, peer: bytes) -> None:
        self._router = router
        self._peer = peer

    def send(self, packed: Packed) -> None:
        try:
            self._router.send_multipart((self._peer, packed.header, packed.body))
        except zmq.ZMQError as error:
            raise OSError(str(error)) from None

    def close(self) -> None:
        """libzmq closes no connection of one peer: it is not listened to any more, and says goodbye itself."""


class ZMQEntrance:
    """The agent's key is the kit's own; whoever has none that CURVE can use does not come in."""

    product = "frames over ZeroMQ"

    def __init__(self) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._router: Any = self._context.socket(zmq.ROUTER)
        public, secret = zmq.curve_keypair()
        _own_public, own_secret = zmq.curve_keypair()
        self._router.curve_server = True
        self._router.curve_secretkey = secret
        self._router.router_mandatory = True
        self._router.sndhwm = self._router.rcvhwm = HELD
        self._router.sndtimeo = PATIENCE
        self._monitor: Any = self._router.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._proxy = Proxy("127.0.0.1", self._router.bind_to_random_port("tcp://127.0.0.1"))
        self.url = (
            f"zmq://{ACCOUNT}:{z85.decode(own_secret).hex()}@127.0.0.1:{self._proxy.port}"
            f"?serverkey={z85.decode(public).hex()}"
        )
        #: of libzmq's connections, by the number of their sockets
        self._connected: set[int] = set()
        self._lines: dict[bytes, ZMQLine] = {}

    def wait(self, seconds: float) -> list[Came]:
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        poller.poll(math.ceil(seconds * 1000))
        found = self._gone()
        with contextlib.suppress(zmq.Again):
            found.extend(self._came(self._router.recv_multipart(zmq.NOBLOCK)))
        return found

    def _gone(self) -> list[Came]:
        """All lines, once there is no connection: which peer's a connection is libzmq does not say."""
        ended = False
        while self._monitor.poll(0):
            told: Any = recv_monitor_message(self._monitor)
            if told["event"] == zmq.EVENT_ACCEPTED:
                self._connected.add(told["value"])
            else:
                self._connected.discard(told["value"])
                ended = True
        if not ended or self._connected:
            return []
        lines, self._lines = self._lines, {}
        return [Came(line, "gone") for line in lines.values()]

    def _came(self, parts: list[bytes]) -> list[Came]:
        peer, *frame = parts
        found = []
        line = self._lines.get(peer)
        if line is None:
            line = self._lines[peer] = ZMQLine(self._router, peer)
            found.append(Came(line, "opened"))
        if len(frame) == 2:
            return [*found, Came(line, "frame", Packed(*frame))]
        return [*found, Came(line, "nonsense", problem=f"a message of {len(frame)} parts")]

    def cut(self) -> None:
        self._proxy.cut()
        self._lines.clear()

    def close(self) -> None:
        if self._context.closed:
            return
        self._proxy.close()
        self._router.disable_monitor()
        self._monitor.close(linger=0)
        self._router.close(linger=0)
        self._context.term()
