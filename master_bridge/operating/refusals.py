"""Why the broker does not do what a command asks of it, or cannot be had: pika's errors, in words for people."""

from __future__ import annotations

import re
from typing import Any

from pika import exceptions as amqp
from pika.adapters.utils.connection_workflow import AMQPConnectorException, AMQPConnectorStackTimeout

from contracts.operations import broker_failure
from contracts.operations.amqp_url import BrokerAddress
from contracts.operations.broker_failure import BrokerFailure
from contracts.operations.reachability import looked_at, open_socket
from master_bridge.operating.errors import NotPermitted, OperatingError
from master_bridge.operating.port import TIMEOUT

#: As pika shows it: `ConnectionClosedByBroker: (530) 'NOT_ALLOWED - vhost x not found'`.
_CLOSED = re.compile(r"ConnectionClosedByBroker: \((\d+)\) (['\"])(.*)\2", re.DOTALL)


def refusal(error: Any, task: str) -> OperatingError:
    """What the broker's closing of a channel means for `task` ("publish to bb.offers")."""
    said = broker_failure.plain(error.reply_text)
    if error.reply_code == 403:
        return NotPermitted(f"this account may not {task} ({said}): use an operator's account")
    if error.reply_code == 404:
        return OperatingError(f"cannot {task}: {said}; it is made when a master connects first")
    return OperatingError(f"cannot {task}: {error.reply_code} {said}")


def explain(error: BaseException, address: BrokerAddress) -> BrokerFailure:
    """Why `address` cannot be had, and what to do. pika's blocking connection tells what the broker said in a text."""
    if isinstance(error, amqp.ConnectionClosedByBroker):
        return broker_failure.connection_closed(error.reply_code, error.reply_text, address)
    for text in (str(argument) for argument in error.args):
        said = _CLOSED.search(text)
        if said is not None:
            return broker_failure.connection_closed(int(said[1]), said[3], address)
    if isinstance(error, amqp.AuthenticationError):
        return broker_failure.no_password_login("none that takes one", address)
    network = broker_failure.network_failure(_cause(error), address, ca="--tls-ca")
    if network is not None and network.part != "connection":
        return looked_at(network, address, ca="--tls-ca")
    if isinstance(error, (amqp.AMQPConnectionError, AMQPConnectorException)) and not isinstance(
        error, amqp.StreamLostError
    ):
        late = isinstance(error, AMQPConnectorStackTimeout)
        return _stranger(address) or broker_failure.silent(address, closed=not late)
    return network or broker_failure.lost(address)


def _cause(error: BaseException) -> BaseException:
    """pika wraps what happened: `AMQPConnectorSocketConnectError(exception)` among the arguments of another."""
    for argument in error.args:
        inner = getattr(argument, "exception", argument)
        if isinstance(inner, BaseException):
            return _cause(inner)
    return error


def _stranger(address: BrokerAddress) -> BrokerFailure | None:
    """What answers there, if it is no broker: pika does not say."""
    if address.secure:
        return None
    try:
        with open_socket(address.host, address.port, TIMEOUT) as opened:
            opened.sendall(b"AMQP\x00\x00\x09\x01")
            return broker_failure.not_amqp(opened.recv(8), address)
    except OSError:
        return None
