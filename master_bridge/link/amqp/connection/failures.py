"""What pika's and Twisted's exceptions mean, in words for people. They end here."""

from __future__ import annotations

import errno
from typing import Any

from pika import exceptions as amqp
from twisted.internet import defer, error

from contracts.operations import broker_failure
from contracts.operations.amqp_url import BrokerAddress
from contracts.operations.broker_failure import BrokerFailure

#: How the setting is called that a certificate which does not verify asks for.
CA_SETTING = 'AMQPBroker(tls={"ca": …})'


def failure_of(failed: BaseException, address: BrokerAddress) -> BrokerFailure:
    """Why the broker at `address` cannot be had, or refused something."""
    if isinstance(failed, amqp.ChannelClosedByBroker):
        return broker_failure.channel_closed(failed.reply_code, failed.reply_text, address)
    if isinstance(failed, amqp.ConnectionClosedByBroker):
        return broker_failure.connection_closed(failed.reply_code, failed.reply_text, address)
    if isinstance(failed, amqp.AMQPHeartbeatTimeout):
        return broker_failure.unheard(address)
    if isinstance(failed, amqp.AuthenticationError):
        return broker_failure.no_password_login("none that takes one", address)
    return _of_endpoint(failed, address) or _of_tls(failed, address) or _of_socket(failed, address)


def _of_endpoint(failed: BaseException, address: BrokerAddress) -> BrokerFailure | None:
    """Twisted's errors of `connect`."""
    if isinstance(failed, (error.DNSLookupError, error.UnknownHostError)):
        return broker_failure.name_failure(address)
    if isinstance(failed, ValueError) and "invalid hostname" in str(failed):
        return broker_failure.name_failure(address)
    if isinstance(failed, error.ConnectionRefusedError):
        return broker_failure.refused_connection(address)
    # an endpoint that is told to stop when its time is over fails with the first of them
    late = error.ConnectingCancelledError, defer.CancelledError, error.TimeoutError, error.TCPTimedOutError
    if isinstance(failed, (*late, defer.TimeoutError)):
        return broker_failure.no_answer(address)
    if isinstance(failed, error.NoRouteError):
        failed = OSError(errno.EHOSTUNREACH, "no route")
    elif isinstance(failed, error.ConnectError) and isinstance(failed.osError, OSError):
        failed = failed.osError
    elif not isinstance(failed, OSError):
        return None
    return broker_failure.network_failure(failed, address, ca=CA_SETTING)


def _of_tls(failed: BaseException, address: BrokerAddress) -> BrokerFailure | None:
    """OpenSSL's `[('SSL routines', '', 'certificate verify failed')]`, and what service_identity finds wrong."""
    if type(failed).__name__ == "VerificationError":  # service_identity's; it comes with the extra "tls" only
        return broker_failure.certificate_failure(f"it is not for the host {address.host!r}", address, ca=CA_SETTING)
    reasons = _openssl(failed)
    if not reasons:
        return None
    if any("certificate verify failed" in reason for reason in reasons):
        return broker_failure.certificate_failure(
            "no authority that is known here has signed it, or its time is over: `master-bridge doctor` tells which",
            address,
            ca=CA_SETTING,
        )
    return broker_failure.tls_failure(reasons[-1], address)


def _openssl(failed: BaseException) -> list[str]:
    if not type(failed).__module__.startswith("OpenSSL"):
        return []
    entries: Any = failed.args[0] if failed.args else ()
    if isinstance(entries, list):
        return [str(entry[-1]) for entry in entries if entry] or ["unexpected eof"]
    return [str(each) for each in failed.args]


def _of_socket(failed: BaseException, address: BrokerAddress) -> BrokerFailure:
    if isinstance(failed, (error.ConnectionDone, error.ConnectionLost, error.ConnectionAborted)):
        return broker_failure.lost(address)
    if isinstance(failed, (amqp.StreamLostError, amqp.ConnectionWrongStateError, amqp.ChannelWrongStateError)):
        return broker_failure.lost(address)
    return broker_failure.other(failed, address)
