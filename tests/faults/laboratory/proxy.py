"""A TCP proxy on loopback whose link can be reset, cut and frozen. An event loop of its own in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import TypeVar

#: Closes with a reset instead of an orderly end (socket(7), SO_LINGER with a time of zero).
_RESET = struct.pack("ii", 1, 0)
_TIMEOUT = 10.0
Kind = TypeVar("Kind", bound="Proxy")


class Proxy:
    """Forwards connections to the first of 127.0.0.1:`targets` that answers, until told otherwise. To be closed."""

    def __init__(self, *targets: int) -> None:
        self._targets = targets
        self._loop = asyncio.new_event_loop()
        self._pairs: set[Pair] = set()
        self._refuses = False
        self.frozen = False
        #: how many connections it has taken so far
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(_TIMEOUT)

    def url(self, url: str) -> str:
        """`url` of the first target, by way of this proxy."""
        return url.replace(f":{self._targets[0]}/", f":{self.port}/")

    def reset(self) -> None:
        """Every connection ends with a TCP reset, both ways. New ones are taken."""
        self._do(self._reset)

    def cut(self) -> None:
        """Every connection is reset, and new ones are too, until `heal`."""
        self._refuses = True
        self.reset()

    def freeze(self) -> None:
        """Nothing gets through any more, nobody is told."""
        self._do(lambda: self._freeze(True))

    def heal(self) -> None:
        self._refuses = False
        self._do(lambda: self._freeze(False))

    def close(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT)
        self._listener.close()
        self._loop.close()

    def __enter__(self: Kind) -> Kind:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # In the loop's thread

    async def _serve(self) -> None:
        self._server = await self._loop.create_server(lambda: _Near(self), sock=self._listener)

    def _do(self, what: Callable[[], object]) -> None:
        done = threading.Event()

        def work() -> None:
            what()
            done.set()

        self._loop.call_soon_threadsafe(work)
        assert done.wait(_TIMEOUT), "the proxy's loop hangs"

    def _reset(self) -> None:
        for pair in list(self._pairs):
            pair.abort()

    def _freeze(self, frozen: bool) -> None:
        self.frozen = frozen
        for pair in list(self._pairs):
            pair.flow(not frozen)

    def taken(self, near: _Near, transport: asyncio.Transport) -> None:
        if self._refuses:
            _abort(transport)
            return
        self.accepted += 1
        near.pair = Pair(self, transport)
        self._pairs.add(near.pair)
        near.pair.connecting = self._loop.create_task(self._connect(near.pair))

    async def _connect(self, pair: Pair) -> None:
        for target in self._targets:
            try:
                transport, _ = await self._loop.create_connection(lambda: _Far(pair), "127.0.0.1", target)
            except OSError:
                continue
            pair.connected(transport)
            return
        pair.abort()

    def passing(self, pair: Pair, end: str, data: bytes) -> None:
        """What a client ("near") or the broker ("far") sends, before it is passed on."""

    def ended(self, pair: Pair) -> None:
        self._pairs.discard(pair)


class Pair:
    """Two ends of one forwarded connection."""

    def __init__(self, proxy: Proxy, near: asyncio.Transport) -> None:
        self._proxy = proxy
        self._ends: dict[str, asyncio.Transport | None] = {"near": near, "far": None}
        self.connecting: asyncio.Task[None] | None = None
        self._over = False
        #: what came before the other end was there: Python 3.11.2 reads on after a pause in `connection_made`
        self._early = b""
        near.pause_reading()

    def connected(self, far: asyncio.Transport) -> None:
        self._ends["far"] = far
        if self._over:
            _abort(far)
        else:
            far.write(self._early)
            self.flow(not self._proxy.frozen)

    def inject(self, data: bytes) -> None:
        """To both ends, as if the other one had said it."""
        for transport in self._ends.values():
            if transport is not None:
                transport.write(data)

    def data(self, end: str, data: bytes) -> None:
        self._proxy.passing(self, end, data)
        other = self._ends["far" if end == "near" else "near"]
        if other is not None:
            other.write(data)
        elif end == "near":
            self._early += data

    def hold(self, end: str, held: bool) -> None:
        """The other end cannot take more, or can again."""
        source = self._ends["far" if end == "near" else "near"]
        if source is not None and not self._proxy.frozen:
            source.pause_reading() if held else source.resume_reading()

    def flow(self, flows: bool) -> None:
        for transport in self._ends.values():
            if transport is not None:
                transport.resume_reading() if flows and self._ends["far"] else transport.pause_reading()

    def abort(self) -> None:
        self._over = True
        for transport in self._ends.values():
            if transport is not None:
                _abort(transport)
        self._proxy.ended(self)

    def lost(self) -> None:
        self._over = True
        for transport in self._ends.values():
            if transport is not None:
                transport.close()
        self._proxy.ended(self)


class _Near(asyncio.Protocol):
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.pair: Pair | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._proxy.taken(self, transport)

    def data_received(self, data: bytes) -> None:
        if self.pair is not None:
            self.pair.data("near", data)

    def pause_writing(self) -> None:
        if self.pair is not None:
            self.pair.hold("near", True)

    def resume_writing(self) -> None:
        if self.pair is not None:
            self.pair.hold("near", False)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.pair is not None:
            self.pair.lost()


class _Far(asyncio.Protocol):
    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def data_received(self, data: bytes) -> None:
        self._pair.data("far", data)

    def pause_writing(self) -> None:
        self._pair.hold("far", True)

    def resume_writing(self) -> None:
        self._pair.hold("far", False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pair.lost()


def _abort(transport: asyncio.Transport) -> None:
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
