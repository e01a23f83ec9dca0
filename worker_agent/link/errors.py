"""What can go wrong with the link, in words for people; the AMQP library's exceptions end here."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiormq import exceptions as amqp

from contracts.operations import broker_failure
from contracts.operations.amqp_url import BrokerAddress
from contracts.operations.broker_failure import BrokerFailure

#: What the AMQP library raises when a connection or a channel is no longer usable. RuntimeError is what it raises for
#: a call on a closed connection.
LIBRARY_ERRORS = (amqp.AMQPError, OSError, asyncio.TimeoutError, RuntimeError, EOFError)

#: How the setting is called that a certificate which does not verify asks for.
CA_SETTING = "--tls-ca"
#: aiormq's classes for what a broker refuses on a channel, which have the text only.
_CHANNEL_CODES: dict[type[BaseException], int] = {
    amqp.ChannelAccessRefused: broker_failure.ACCESS_REFUSED,
    amqp.ChannelNotFoundEntity: broker_failure.NOT_FOUND,
    amqp.ChannelLockedResource: broker_failure.RESOURCE_LOCKED,
    amqp.ChannelPreconditionFailed: broker_failure.PRECONDITION_FAILED,
}


class LinkError(Exception):
    """The link to the broker could not be made, or broke. `failure`: what is wrong, where the broker told."""

    def __init__(self, what: BrokerFailure | str) -> None:
        super().__init__(str(what))
        self.failure = what if isinstance(what, BrokerFailure) else None


class Place(Protocol):
    """Of a link's options: where the broker is."""

    @property
    def address(self) -> BrokerAddress: ...


class Said(Protocol):
    """What a broker said on a connection: `worker_agent.link.amqp.transport.Heard`."""

    connected: bool
    first: bytes
    close: tuple[int, str] | None


def failure_of(error: BaseException, place: Place, heard: Said) -> BrokerFailure:
    """Why a connection could not be opened."""
    address = place.address
    if heard.close is not None:
        return broker_failure.connection_closed(*heard.close, address)
    if isinstance(error, amqp.AuthenticationError):
        return broker_failure.no_password_login(str(error.args[0] if error.args else ""), address)
    stranger = broker_failure.not_amqp(heard.first, address)
    if stranger is not None:
        return stranger
    late = isinstance(error, asyncio.TimeoutError)
    if heard.connected and not heard.first:
        tls = broker_failure.network_failure(error, address, ca=CA_SETTING) if address.secure else None
        return tls if tls is not None and tls.part == "TLS" else broker_failure.silent(address, closed=not late)
    if late:
        return broker_failure.no_answer(address)
    if heard.connected:
        return broker_failure.lost(address)
    return broker_failure.network_failure(error, address, ca=CA_SETTING) or broker_failure.other(error, address)


def loss_of(error: BaseException | None, place: Place, heard: Said | None = None) -> BrokerFailure:
    """Why an open connection, or a channel on it, ended. `error`: the library's; None: it says nothing."""
    address = place.address
    if heard is not None and heard.close is not None:
        return broker_failure.connection_closed(*heard.close, address)
    for kind, code in _CHANNEL_CODES.items():
        if isinstance(error, kind):
            return broker_failure.channel_closed(code, str(error), address)
    if isinstance(error, amqp.ChannelClosed) and len(error.args) == 2:
        return broker_failure.channel_closed(int(error.args[0] or 0), str(error.args[1]), address)
    if isinstance(error, asyncio.CancelledError):  # aiormq ends its reader so when heartbeats fail to come
        return broker_failure.unheard(address)
    if error is None or isinstance(error, (amqp.AMQPConnectionError, OSError, EOFError, RuntimeError)):
        return broker_failure.lost(address)
    return broker_failure.other(error, address)
