"""An operator's connection to the broker: blocking, short-lived, every publication confirmed."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Union

import pika
from pika import exceptions as amqp
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from contracts import topology
from contracts.codec import JSON_TYPE, decode, encode
from contracts.errors import BadMessage
from contracts.messages import AnyMessage, Message
from contracts.operations.amqp_url import BrokerAddress
from contracts.operations.broker_failure import BrokerFailure
from contracts.operations.reachability import open_socket
from contracts.rabbitmq.arguments import Kind, arguments
from contracts.rabbitmq.product import Product, introduced
from contracts.trust.envelope import Envelope
from master_bridge.link.amqp.connection.properties import tolerate_unreadable
from master_bridge.link.carried import Delivered
from master_bridge.link.errors import BadSettings
from master_bridge.link.settings import PLAIN_WITH_TLS, TLSSettings, parse_url
from master_bridge.operating.deadletters import DeadMessage, Verdict, headers_of_again, read
from master_bridge.operating.errors import OperatingError, Unreachable
from master_bridge.operating.port import TIMEOUT, CameBack, HearFleet, HearReply, QueueFigures, Sign
from master_bridge.operating.refusals import explain, refusal

tolerate_unreadable()

#: Bytes of a queue's name (AMQP 0-9-1, 1.1, "shortstr"); an agent may tell longer ones.
SHORT_MAX = 255

#: Replies of agents that come without an acknowledgement of those before.
REPLIES_AT_ONCE = 300
#: Messages looked at in one go: `dead` holds at most 10,000.
LIMIT = 10_000


class Broker:
    """`OperatorsLink` over RabbitMQ: one connection, one channel, made anew after an error of the broker's.

    `sign` adds headers to what is published: exchange, routing key, body, headers -> headers.
    """

    def __init__(self, address: BrokerAddress, connection: Any, sign: Sign | None = None) -> None:
        self.address = address
        self._connection = connection
        self._sign = sign
        self._channel: Any = None
        #: of `receive`
        self._master = ""
        self._hints: Any = None
        self._consumers: list[str] = []
        #: why nothing comes any more, though the connection is there
        self._deaf = ""

    @property
    def product(self) -> Product:
        """What the broker says it is."""
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
        body, properties = self._made(exchange, key, message, properties, signed=signed)
        try:
            self.channel.basic_publish(exchange, key, body, properties, mandatory=mandatory)
        except amqp.UnroutableError:
            return False
        except amqp.NackError:
            raise OperatingError(f"the broker refused a message for {exchange} {key}: its queue is full") from None
        except amqp.ChannelClosedByBroker as error:
            raise refusal(error, f"publish to {exchange}") from None
        return True

    def _made(
        self, exchange: str, key: str, message: Union[Message, bytes], properties: Any, *, signed: bool
    ) -> tuple[bytes, Any]:
        """Body and properties as they travel."""
        if isinstance(message, Message):
            wire = encode(message)
            body, headers = wire.body, dict(wire.headers)
            properties = pika.BasicProperties(content_type=wire.content_type, type=wire.type, headers=headers)
        else:
            body = message
            properties = properties or pika.BasicProperties()
        properties.user_id = self.address.user  # the broker refuses another's, so it proves the sender (rule 22)
        if self._sign is not None and signed:
            headers = dict(properties.headers or {})
            properties.headers = {**headers, **self._sign(exchange, key, body, headers)}
        return body, properties

    def hear_fleet(self, heard: HearFleet) -> None:
        """Through a queue of its own. Raises `NotPermitted` for an account that may not read `bb.fleet`."""

        def came(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            try:
                envelope = Envelope.of(
                    exchange=method.exchange,
                    routing_key=method.routing_key,
                    user_id=properties.user_id,
                    headers=properties.headers,
                )
            except Exception:  # whoever wrote it, it is not of the fleet
                return
            heard(envelope, body, properties.headers)

        channel = self.new_channel()
        try:
            queue = channel.queue_declare(
                "",
                exclusive=True,
                auto_delete=True,
                arguments=arguments(Kind.FLEET, version=self.product.version),
            ).method.queue
            for key in (topology.STATUS_KEY, topology.CATALOGUE_KEY, topology.WORK_KEY):
                channel.queue_bind(queue, topology.FLEET, f"{key}.#")
            channel.basic_consume(queue, came, auto_ack=True)
        except amqp.ChannelClosedByBroker as error:
            raise refusal(error, "listen to bb.fleet") from None

    def tell(self, key: str, message: Union[Message, bytes], *, mandatory: bool = True) -> bool:
        """Through `bb.control`. Raises `NotPermitted`."""
        return self.publish(topology.CONTROL, key, message, mandatory=mandatory)

    @property
    def user(self) -> str:
        return self.address.user

    def receive(self, master: str, heard: HearReply, came_back: CameBack) -> None:
        """Through queues that are there for some minutes after this connection. Raises `NotPermitted`."""
        self._master = master
        channel = self._hints = self.new_channel()
        channel.basic_qos(prefetch_count=REPLIES_AT_ONCE)
        channel.add_on_return_callback(partial(_came_back, came_back))
        try:
            for queue, binding in (
                (topology.claims_queue(master), topology.claims_binding(master)),
                (topology.events_queue(master), topology.events_binding(master)),
            ):
                channel.queue_declare(
                    queue, durable=True, arguments=arguments(Kind.REPLIES, version=self.product.version)
                )
                channel.queue_bind(queue, topology.REPLIES, binding)
                tag = channel.basic_consume(queue, partial(_delivered, heard, queue), exclusive=True)
                self._consumers.append(tag)
        except amqp.ChannelClosedByBroker as error:
            if "exclusive" in error.reply_text:  # a connection of this program before, of which the broker knows no end
                raise self._lost("the broker still holds this program's former connection") from None
            raise refusal(error, f"receive what agents answer to {master}") from None
        channel.add_on_cancel_callback(lambda _frame: self._note_deaf("somebody deleted this program's queues"))

    def _note_deaf(self, reason: str) -> None:
        self._deaf = reason

    def _lost(self, seen: str) -> Unreachable:
        remedy = "this ends by itself; it is tried again"
        return Unreachable(BrokerFailure(part="connection", seen=f"{self.address}: {seen}", remedy=remedy))

    def stop_receiving(self) -> None:
        """The queues are deleted."""
        for tag in self._consumers:
            self._hints.basic_cancel(tag)
        for queue in (topology.claims_queue(self._master), topology.events_queue(self._master)):
            self._hints.queue_delete(queue)

    def hint(self, key: str, message: AnyMessage) -> None:
        body, properties = self._made(topology.CONTROL, key, message, None, signed=True)
        try:
            self._hints.basic_publish(topology.CONTROL, key, body, properties, mandatory=True)
        except amqp.AMQPChannelError as error:
            raise self._lost(f"a channel was closed: {error}") from None

    def mark(self, message: Message) -> None:
        """Through `bb.replies`, as what agents say."""
        self.publish(topology.REPLIES, topology.claims_key(self.user, self._master), message, mandatory=False)

    def work(self, seconds: float) -> None:
        self.wait(seconds)
        if self._deaf or not self._hints.is_open:
            raise self._lost(self._deaf or "the broker closed a channel")

    def all_queues(self) -> list[QueueFigures] | None:
        """AMQP has no list of them."""
        return None

    def walk_dead(self, judge: Callable[[DeadMessage], Verdict]) -> list[DeadMessage]:
        """In the queue `dead`; a copy is confirmed before its message is acknowledged."""
        if self.queue(topology.DEAD_QUEUE) is None:
            return []
        channel = self.new_channel()
        messages: list[DeadMessage] = []
        kept = 0
        try:
            for _ in range(LIMIT):
                method, properties, body = channel.basic_get(topology.DEAD_QUEUE)
                if method is None:
                    break
                message = read(method.routing_key, properties, body)
                verdict = judge(message)
                if verdict == "keep":
                    kept = method.delivery_tag
                else:
                    if verdict == "requeue":
                        self._send_again(message)
                    channel.basic_ack(method.delivery_tag)
                messages.append(message)
            if kept:
                channel.basic_nack(kept, multiple=True, requeue=True)
        finally:
            if channel.is_open:
                channel.close()  # what it still holds goes back
        return messages

    def _send_again(self, message: DeadMessage) -> None:
        exchange, key = message.destination()
        properties = pika.BasicProperties(
            headers=headers_of_again(message),
            type="offer",
            content_type=JSON_TYPE,
            delivery_mode=2,
            priority=message.priority,
        )
        if not self.publish(exchange, key, message.body, properties=properties, signed=False):
            raise OperatingError(f"{message.id}: no queue takes it at {exchange} {key}; it stays in `dead`")

    def queue(self, name: str) -> QueueFigures | None:
        """Asked passively; None: there is no such queue. Raises `NotPermitted`."""
        if len(name.encode("utf-8", "replace")) > SHORT_MAX:
            return None
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


def _came_back(heard: CameBack, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
    try:
        message = decode(body, properties.headers)
    except BadMessage:  # it is our own
        return
    heard(message, method.routing_key)


def _delivered(heard: HearReply, queue: str, channel: Any, method: Any, properties: Any, body: bytes) -> None:
    envelope = Envelope.of(
        exchange=method.exchange,
        routing_key=method.routing_key,
        user_id=properties.user_id,
        headers=properties.headers,
    )

    def ack() -> None:
        if channel.is_open:
            channel.basic_ack(method.delivery_tag)

    heard(Delivered(body=body, headers=dict(properties.headers or {}), envelope=envelope, queue=queue, ack=ack))


@contextmanager
def connect(
    url: str,
    tls: TLSSettings | None = None,
    *,
    purpose: str = "operator",
    sign: Sign | None = None,
    heartbeat: int = 30,
) -> Iterator[Broker]:
    """A `Broker` for the time of a `with`. `heartbeat`: seconds; a dead connection is noticed after about twice this.

    Raises `OperatingError` that says why it cannot be had.
    """
    try:
        address = parse_url(url)
        if tls not in (None, TLSSettings()) and not address.secure:
            raise BadSettings(PLAIN_WITH_TLS)
        parameters = pika.ConnectionParameters(
            host=_answering(address),
            port=address.port,
            virtual_host=address.vhost,
            credentials=pika.PlainCredentials(address.user, address.password),
            ssl_options=pika.SSLOptions(tls_context(tls or TLSSettings()), address.host) if address.secure else None,
            socket_timeout=TIMEOUT,
            stack_timeout=TIMEOUT,
            blocked_connection_timeout=TIMEOUT,
            heartbeat=heartbeat,
            client_properties={"connection_name": f"master-bridge {purpose}"},
        )
        connection = pika.BlockingConnection(parameters)
    except BadSettings as error:
        raise OperatingError(str(error)) from None
    except (amqp.AMQPError, AMQPConnectorException, OSError) as error:
        raise Unreachable(explain(error, address)) from None
    try:
        yield Broker(address, connection, sign)
    except (amqp.AMQPConnectionError, amqp.StreamLostError) as error:
        raise Unreachable(explain(error, address)) from None
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


def _answering(address: BrokerAddress) -> str:
    """The first address of the broker's name that answers: pika tries them one after the other, `TIMEOUT` each."""
    with open_socket(address.host, address.port, TIMEOUT) as opened:
        return str(opened.getpeername()[0])
