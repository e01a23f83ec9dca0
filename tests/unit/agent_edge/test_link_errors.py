"""Errors of the AMQP library in words for people."""

from __future__ import annotations

import asyncio

import pytest
from aiormq import exceptions as amqp

from worker_agent.link.amqp.transport import Heard
from worker_agent.link.errors import failure_of, loss_of
from worker_agent.link.options import LinkOptions

OPTIONS = LinkOptions(url="amqp://u:hunter2@broker/v", name="a")


def heard(first: bytes = b"", close: tuple[int, str] | None = None, *, connected: bool = True) -> Heard:
    made = Heard(lambda _: None)
    made.first, made.close, made.connected = first, close, connected
    return made


def test_a_ring_of_causes_has_an_end() -> None:
    """Exceptions of a reset connection are each other's context; the agent followed them for ever, at full speed."""
    first, second = amqp.AMQPConnectionError("reset"), ConnectionResetError(104, "reset by peer")
    first.__context__, second.__context__ = second, first
    said = str(failure_of(first, OPTIONS, heard(b"\x01\x00\x00\x00")))
    assert said.startswith("the connection to amqp://broker:5672 broke")


@pytest.mark.parametrize(
    ("error", "what", "part", "said"),
    [
        (amqp.AMQPConnectionError("x"), heard(b"\x01", (530, "NOT_ALLOWED - vhost v not found")), "vhost", "vhost 'v'"),
        (amqp.AMQPConnectionError("x"), heard(b"HTTP/1.1"), "AMQP", "speaks HTTP"),
        (amqp.AMQPConnectionError("x"), heard(b"\x15\x03\x03\x00\x02\x02"), "AMQP", "speaks TLS"),
        (amqp.AMQPConnectionError("x"), heard(b"AMQP\x00\x01\x00\x00"), "AMQP", "another version of AMQP"),
        (amqp.AMQPConnectionError("x"), heard(), "AMQP", "closes it before a word"),
        (asyncio.TimeoutError(), heard(), "AMQP", "then says nothing"),
        (asyncio.TimeoutError(), heard(connected=False), "port", "did not answer in time"),
        (amqp.AuthenticationError("EXTERNAL", ["PLAIN"]), heard(b"\x01"), "login", "EXTERNAL"),
    ],
)
def test_what_was_heard_says_why_a_connection_could_not_be_opened(
    error: BaseException, what: Heard, part: str, said: str
) -> None:
    """The library's exception alone does not tell; never the password, never an object's address."""
    failure = failure_of(error, OPTIONS, what)
    assert failure.part == part
    assert said in str(failure)
    assert failure.remedy
    assert "hunter2" not in str(failure)


def test_an_open_connection_that_ends_says_why() -> None:
    """The broker's reason where it gave one; missing heartbeats; else that it broke."""
    closed = loss_of(None, OPTIONS, heard(close=(320, "CONNECTION_FORCED - Node was put into maintenance mode")))
    assert closed.seen == "amqp://broker:5672 ended the connection (Node was put into maintenance mode)"
    assert "heartbeats" in str(loss_of(asyncio.CancelledError(), OPTIONS))
    assert "broke" in str(loss_of(RuntimeError("<Connection at 0x7f00> closed"), OPTIONS))
    refused = loss_of(amqp.ChannelAccessRefused("ACCESS_REFUSED - access to queue 'q' in vhost 'v' refused"), OPTIONS)
    assert refused.part == "permissions"
    assert "user 'u'" in refused.seen
