"""What is sent to a keeper: in order, no more at a time than its socket takes, and all of it before the end."""

from __future__ import annotations

import asyncio
from typing import Any

from worker_agent.keeper.sending import PIECE, Outgoing
from worker_agent.keeper.wire import Frames


class Transport(asyncio.Transport):
    """Notes what it is given. `full`: it says so after each write, as one does whose socket takes no more."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.outgoing: Outgoing
        self.full = False
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written.append(bytes(data))
        if self.full:
            self.outgoing.pause()

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def make() -> tuple[Transport, Outgoing]:
    transport = Transport()
    transport.outgoing = Outgoing(transport)
    return transport, transport.outgoing


def said(transport: Transport) -> list[tuple[dict[str, Any], bytes]]:
    return Frames().feed(b"".join(transport.written))


def test_a_socket_that_takes_all_is_given_all() -> None:
    transport, outgoing = make()
    outgoing.send({"op": "trim", "seq": 1})
    outgoing.send({"op": "feed", "n": 1}, b"x" * (2 * PIECE + 1))

    assert said(transport) == [
        ({"op": "trim", "seq": 1}, b""),
        ({"op": "feed", "n": 1, "bytes": 2 * PIECE + 1}, b"x" * (2 * PIECE + 1)),
    ]
    assert max(map(len, transport.written)) == PIECE


def test_a_full_socket_is_given_one_piece_each_time_that_it_has_room() -> None:
    """What waits is not copied into the transport's buffer; what is said later comes after it."""
    transport, outgoing = make()
    transport.full = True
    outgoing.send({"op": "feed", "n": 1}, b"a" * PIECE + b"b" * PIECE)
    outgoing.send({"op": "interrupt", "n": 1})
    assert len(transport.written) == 1

    for count in (2, 3, 4):
        outgoing.resume()
        assert len(transport.written) == count
    outgoing.resume()
    assert [message["op"] for message, _ in said(transport)] == ["feed", "interrupt"]


def test_what_waits_is_said_before_the_end() -> None:
    """A main process that leaves its keeper to the next one has said all that it had to say."""
    transport, outgoing = make()
    transport.full = True
    outgoing.send({"op": "feed", "n": 1}, b"a" * (3 * PIECE))
    outgoing.send({"op": "detach"})
    outgoing.close()

    assert transport.closed
    assert [message["op"] for message, _ in said(transport)] == ["feed", "detach"]


def test_nothing_is_said_to_one_that_is_gone() -> None:
    transport, outgoing = make()
    outgoing.close()
    outgoing.send({"op": "trim", "seq": 1}, b"x")
    outgoing.resume()

    assert transport.written == []
