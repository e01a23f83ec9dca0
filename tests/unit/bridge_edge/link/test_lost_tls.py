"""A TLS connection that is lost, with Twisted's own TLS on top of a transport in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import error, ssl, task
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from contracts.operations.broker_failure import BrokerFailure
from master_bridge.link.amqp.connection.protocol import CLOSE_TIMEOUT, BrokerProtocol
from master_bridge.link.settings import LinkSettings


class Transport(StringTransport):
    def setTcpNoDelay(self, enabled: bool) -> None:
        """As a socket has it."""

    def abortConnection(self) -> None:
        self.aborting = True


def protocol_over_tls(clock: task.Clock, on_lost: Callable[[BrokerFailure], None]) -> tuple[BrokerProtocol, Any]:
    """And Twisted's TLS below it."""
    protocol = BrokerProtocol(LinkSettings(url="amqps://u:p@localhost/", master="m1"), "test", on_lost, clock)
    protocol.ready.addErrback(lambda _failure: None)
    factory = Factory()
    factory.protocol = lambda: protocol
    options = ssl.optionsForClientTLS("localhost")
    tls = TLSMemoryBIOFactory(options, isClient=True, wrappedFactory=factory).buildProtocol(None)
    assert tls is not None
    tls.makeConnection(Transport())
    return protocol, tls


@pytest.mark.parametrize("then", ["abort", "end", "too_late", "nothing"])
@pytest.mark.parametrize("when", ["told", "afterwards"])
def test_what_is_lost_is_closed_once(then: str, when: str) -> None:
    """Whatever the link asks for while it is told, or later: a TLS connection of Twisted's stands no more then."""
    clock = task.Clock()
    told: list[BrokerFailure] = []

    def close() -> None:
        if then != "nothing":
            getattr(protocol, then)()

    def on_lost(why: BrokerFailure) -> None:
        told.append(why)
        if when == "told":
            close()

    protocol, tls = protocol_over_tls(clock, on_lost)
    tls.connectionLost(Failure(error.ConnectionLost()))
    if when == "afterwards":
        close()
    clock.advance(CLOSE_TIMEOUT + 1)
    assert not clock.getDelayedCalls()
    assert len(told) == 1
    assert protocol.gone.called
