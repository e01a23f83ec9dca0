"""An operator's connection to the broker: blocking, short-lived, every publication confirmed."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Union

import pika
from pika import exceptions as amqp

from contracts.codec import encode
from contracts.messages import Message
from contracts.rabbitmq.product import Product, introduced
from master_bridge.link.errors import BadSettings
from master_bridge.link.settings import BrokerAddress, TLSSettings, parse_url
from master_bridge.operating.errors import NotPermitted, OperatingError

#: Seconds for a connection to be made, and for the broker to answer.
TIMEOUT = 10

Sign = Callable[[str, str, bytes, Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class QueueFigures:
    """`ready`: messages that nobody holds; `held`: delivered and unacknowledged, None where the broker does not say."""

    name: str
    ready: int
    consumers: int
    held: int | None = None
    type: str | None = None


class Broker:
    """One connection with one channel. After an error of the broker's the channel is made anew.

    `sign` adds headers to what is published: exchange, routing key, body, headers -> headers.
    """

    def __init__(self, address: BrokerAddress, connection: Any, sign: Sign | None = None) -> None:
        self.address = address
        self._connection = connection
        self._sign = sign
        self._channel: Any = None

    @property
    def product(self) -> Product:
        return introduced(self._connection._impl.server_properties)  # not in pika's public face

    @property
    def channel(self) -> Any:
        """In confirm mode."""
        if self._channel is None or not self._channel.is_open:
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
        return self._channel

    def new_channel(self) -> Any:
        """A channel of its own; what it holds unacknowledged goes back when it is closed."""
        return self._connection.channel()

    def publish(
        self,
        exchange: str,
        key: str,
        message: Union[Message, bytes],
        *,
        properties: Any = None,
        mandatory: bool = True,
        signed: bool = True,
    ) -> bool:
        """True when a queue has it; False: nobody listens there. Raises `NotPermitted`.

        `signed` False: it is moved as it is, with the signature that it may have.
        """
        if isinstance(message, Message):
            wire = encode(message)
            body, headers = wire.body, dict(wire.headers)
            properties = pika.BasicProperties(content_type=wire.content_type, type=wire.type, headers=headers)
        else:
            body = message
            properties = properties or pika.BasicProperties()
        if self._sign is not None and signed:
            headers = dict(properties.headers or {})
            properties.headers = {**headers, **self._sign(exchange, key, body, headers)}
        try:
            self.channel.basic_publish(exchange, key, body, properties, mandatory=mandatory)
        except amqp.UnroutableError:
            return False
        except amqp.NackError:
            raise OperatingError(f"the broker refused a message for {exchange} {key}: its queue is full") from None
        except amqp.ChannelClosedByBroker as error:
            raise refusal(error, f"publish to {exchange}") from None
        return True

    def queue(self, name: str) -> QueueFigures | None:
        """Asked passively; None: there is no such queue. Raises `NotPermitted`."""
        try:
            answer = self.channel.queue_declare(name, passive=True).method
        except amqp.ChannelClosedByBroker as error:
            if error.reply_code == 404:
                return None
            if error.reply_code == 405:  # somebody's exclusive queue: it exists, and that is all one may know
                return QueueFigures(name=name, ready=0, consumers=1)
            raise refusal(error, f"look at queue {name}") from None
        return QueueFigures(name=name, ready=answer.message_count, consumers=answer.consumer_count)

    def wait(self, seconds: float) -> None:
        """Let the connection work; callbacks are called."""
        self._connection.process_data_events(time_limit=seconds)


def refusal(error: Any, task: str) -> OperatingError:
    """What the broker's closing of a channel means for `task` ("publish to bb.offers")."""
    if error.reply_code == 403:
        return NotPermitted(f"this account may not {task} ({error.reply_text}): use an operator's account")
    if error.reply_code == 404:
        return OperatingError(f"cannot {task}: {error.reply_text}; it is made when a master connects first")
    return OperatingError(f"cannot {task}: {error.reply_code} {error.reply_text}")


@contextmanager
def connect(
    url: str, tls: TLSSettings | None = None, *, purpose: str = "operator", sign: Sign | None = None
) -> Iterator[Broker]:
    """A `Broker` for the time of a `with`. Raises `OperatingError` that says why it cannot be had."""
    try:
        address = parse_url(url)
        parameters = pika.ConnectionParameters(
            host=address.host,
            port=address.port,
            virtual_host=address.vhost,
            credentials=pika.PlainCredentials(address.user, address.password),
            ssl_options=pika.SSLOptions(tls_context(tls or TLSSettings()), address.host) if address.secure else None,
            socket_timeout=TIMEOUT,
            stack_timeout=TIMEOUT,
            blocked_connection_timeout=TIMEOUT,
            heartbeat=30,
            client_properties={"connection_name": f"master-bridge {purpose}"},
        )
        connection = pika.BlockingConnection(parameters)
    except BadSettings as error:
        raise OperatingError(str(error)) from None
    except (amqp.AMQPError, OSError) as error:
        raise OperatingError(explain(error, address)) from None
    try:
        yield Broker(address, connection, sign)
    except (amqp.AMQPConnectionError, amqp.StreamLostError) as error:
        raise OperatingError(f"the connection to {address} broke: {_named(error)}") from None
    finally:
        if connection.is_open:
            connection.close()


def tls_context(tls: TLSSettings) -> ssl.SSLContext:
    """Raises `BadSettings` for files that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise BadSettings(f"tls: {tls.ca or ''} {tls.certificate or ''}: {error}") from None
    return context


def explain(error: BaseException, address: BrokerAddress) -> str:
    """Why `address` cannot be had, and what to do. Never holds a password."""
    text = str(address)
    chain: list[BaseException] = []
    cause: Any = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        causes = [getattr(inner, "exception", inner) for inner in getattr(cause, "args", ())]
        cause = next((inner for inner in causes if isinstance(inner, BaseException)), None) or cause.__cause__
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {text} does not verify ({cause.verify_message}): give the CA that signed it with "
                "--tls-ca, or correct the host name in the URL"
            )
    if isinstance(error, (amqp.ProbableAuthenticationError, amqp.AuthenticationError)):
        return f"{text} refuses the login: check user and password of the AMQP URL"
    if isinstance(error, amqp.ProbableAccessDeniedError):
        return f"{text} does not let this user in: check the vhost and its permissions"
    return f"{text} cannot be reached: {_named(chain[-1])}"


def _named(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
