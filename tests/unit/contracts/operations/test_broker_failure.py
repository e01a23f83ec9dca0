"""What is said when a broker cannot be had: what is wrong, with which account and vhost, what to do."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import pytest

from contracts.operations import broker_failure
from contracts.operations.amqp_url import BadURL, parse_url
from contracts.operations.broker_failure import connection_closed, network_failure

ADDRESS = parse_url("amqps://bob:hunter2@broker.example.org/shop%2F1")


@pytest.mark.parametrize(
    ("code", "text", "part", "said"),
    [
        (403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker "
         "logfile.", "login", "refuses the login of user 'bob'"),
        (530, "NOT_ALLOWED - vhost shop/1 not found", "vhost", "there is no vhost 'shop/1'"),
        (530, "NOT_ALLOWED - access to vhost 'shop/1' refused for user 'bob'", "vhost", "'bob' may not use vhost"),
        (530, "NOT_ALLOWED - access to vhost 'shop/1' refused for user 'bob': connection limit (3) is reached",
         "limits", "connection limit (3)"),
        (530, "NOT_ALLOWED - connection refused for user 'bob': user connection limit (0) is reached", "limits",
         "user connection limit (0)"),
        (530, "NOT_ALLOWED - number of channels opened for user 'bob' has reached the maximum allowed user limit of "
         "(1)", "limits", "user limit of (1)"),
        (541, "INTERNAL_ERROR - access to vhost 'shop/1' refused for user 'bob': vhost 'shop/1' is down", "vhost",
         "is down"),
        (320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'", "connection", "shutdown"),
        (501, "FRAME_ERROR - type 1, first 16 octets = <<1,2>>", "connection", "501, type 1"),
    ],
)  # fmt: skip
def test_the_brokers_words_are_understood(code: int, text: str, part: str, said: str) -> None:
    """RabbitMQ's texts, as 3.10 to 4.3 send them."""
    failure = connection_closed(code, text, ADDRESS)
    assert failure.part == part
    assert said in failure.seen
    assert failure.remedy
    assert "hunter2" not in str(failure)


def test_guest_is_told_where_guest_may_log_in() -> None:
    """The broker does not say that it is for the loopback interface only; to everybody else it is a wrong password."""
    text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."
    assert "own machine only" in str(connection_closed(403, text, parse_url("amqp://guest:guest@broker/")))
    assert "own machine only" not in str(connection_closed(403, text, ADDRESS))


@pytest.mark.parametrize(
    ("error", "part", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name", "'broker.example.org', cannot be"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "name", "no name server"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "port", "nothing listens"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('127.0.0.2', 1), [Errno 101] Network is "
                 "unreachable"), "port", "nothing listens"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "port", "there is no way"),
        (TimeoutError(), "port", "did not answer"),
        (asyncio.TimeoutError(), "port", "did not answer"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "connection", "broke"),
        (OSError(errno.EMFILE, "Too many open files"), "port", "Too many open files"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "TLS", "not speak TLS"),
        (ssl.SSLError(1, "[SSL] tlsv13 alert certificate required (_ssl.c:2580)"), "TLS", "refuses our certificate"),
    ],
)  # fmt: skip
def test_what_fails_below_amqp_is_understood(error: Exception, part: str, said: str) -> None:
    """Wherever in a chain of exceptions it is."""
    wrapped = RuntimeError("library")
    wrapped.__cause__ = error
    failure = network_failure(wrapped, ADDRESS, ca="--tls-ca")
    assert failure is not None
    assert failure.part == part
    assert said in failure.seen


def test_what_differs_between_two_tries_is_not_said() -> None:
    """A caller that says a thing once compares: neither object's addresses nor process ids, on one line, bounded."""
    said = [broker_failure.plain(f"got <Close object at 0x7f{n}0c12ab90>\nby <0.{n}.0>\x1b[31m") for n in (1, 2)]
    assert said[0] == said[1] == "got <Close object > by ?[31m"
    refused = "access to queue 'agent.bob.{0}.{0}' refused for user 'bob'; 'amq.gen-{0}'"
    assert broker_failure.plain(refused.format("12ab")) == broker_failure.plain(refused.format("34cd"))
    assert "'agent.bob.*' refused for user 'bob'" in broker_failure.plain(refused)
    assert len(broker_failure.plain("x" * 5000)) == broker_failure.TEXT_MAX


@pytest.mark.parametrize(
    "url",
    ["amqp://u:hunter2/x@host/", "amqp://u:hunter2#x@host/", "amqp://u:hunter2@host:0/", "amqp://u:hunter2@host:x/",
     "amqp://u:hunter2?x@host/", "amqp://u:hunter2@/", "http://u:hunter2@h/", "amqp://u:hunter2@h/a/b", "",
     "amqp://u:hunter2@h/\nmore", "amqp://u:hunter2@[h/", "amqp://u:hunter2@h:99999/", "u:hunter2@h"],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_told_without_any_of_it(url: str) -> None:
    """The most frequent mistake is a character of a password that has to be escaped: no piece of it is shown."""
    with pytest.raises(BadURL) as caught:
        parse_url(url)
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_address_is_shown_as_a_url_without_its_password() -> None:
    """Ready to be pasted; an IPv6 address in brackets."""
    assert str(ADDRESS) == "amqps://bob@broker.example.org:5671/shop%2F1"
    assert parse_url("amqp://[::1]:1234").listener == "amqp://[::1]:1234"
