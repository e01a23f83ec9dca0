"""Reads what the broker brings a bridge: by which way it came, who sent it, what it says; the rest goes to `bb.dead`.

Whatever comes, it is handed on, put into `bb.dead` or dropped, and nothing else changes (docs/protocol.md, rule 22).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from contracts import topology
from contracts.agent_names import named
from contracts.burial import headers_of
from contracts.codec import HEADER, decode
from contracts.errors import BadMessage, BadName, NotBelieved, UnknownVersion
from contracts.foreign import ForeignPeers
from contracts.messages import AnyMessage, Catalogue, Claim, FleetMessage, Resume, Status, Work
from contracts.protocol_version import Agreements, Versions
from contracts.timing import CLAIM_MAX
from master_bridge.link.carried import Delivered, Publication
from master_bridge.link.client import LinkClient
from master_bridge.link.incompatible import Incompatible, incompatible
from master_bridge.link.repeated import RepeatedStatuses

log = structlog.get_logger(__name__)

#: Characters shown of the name of somebody whose messages cannot be read.
NAME_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What an agent said: `user` is the `key_word` of its account, `size` the bytes of body and header `bb`."""

    message: AnyMessage
    user: str
    size: int


class Reader:
    """Lives as long as the link, over all its connections."""

    def __init__(
        self,
        master: str,
        client: LinkClient,
        *,
        publish: Callable[[Publication], None],
        answer: Callable[[Incompatible], None],
    ) -> None:
        """`publish` is for `bb.dead`, `answer` for agents that know none of our versions."""
        self._claims = topology.claims_queue(master)
        self._client = client
        self._publish = publish
        self._answer = answer
        self.agreements = Agreements()
        #: agents and masters of other versions; its `heard` is for metrics
        self.foreign = ForeignPeers()
        self._repeated = RepeatedStatuses()

    def reply(self, delivered: Delivered) -> Reply | None:
        """From the claims or events queue. None: it was not to be read or believed, and wants its `ack` only."""
        try:
            user = delivered.envelope.of_reply()
            message = self._decode(delivered, user)
        except (BadMessage, NotBelieved) as error:
            self._reject(delivered, str(error))
        except Exception as error:
            self._not_handled(delivered, error)
        else:
            size = len(delivered.body) + len(delivered.headers.get(HEADER) or "")
            return Reply(message=message, user=user, size=size)
        return None

    def of_fleet(self, delivered: Delivered) -> FleetMessage | None:
        """From `bb.fleet`, an agent by the name that it is shown with. None: it was not to be read or believed."""
        try:
            return self._decode_of_fleet(delivered)
        except UnknownVersion as error:
            self._foreign_peer(delivered, error)
        except (BadMessage, NotBelieved) as error:
            self._reject(delivered, str(error))
        except Exception as error:
            self._not_handled(delivered, error)
        return None

    def send_to_dead(self, delivered: Delivered, reason: str) -> None:
        """A copy to `bb.dead`."""
        self._publish(
            Publication(
                exchange=topology.DEAD,
                routing_key=delivered.envelope.routing_key,
                body=delivered.body,
                headers=headers_of(delivered.headers, reason=reason, queue=delivered.queue),
                persistent=True,
            )
        )

    def _decode(self, delivered: Delivered, user: str) -> AnyMessage:
        """Raises `BadMessage`. What a claim or resume says of versions holds for its sender's own address only."""
        if delivered.queue == self._claims and len(delivered.body) > CLAIM_MAX:
            raise BadMessage(f"{len(delivered.body)} bytes in the claims queue, more than the {CLAIM_MAX} allowed")
        try:
            message = decode(delivered.body, delivered.headers)
        except UnknownVersion as error:
            self.foreign.hear()
            found = incompatible(error, user)
            if found is not None and _is_of(found.address, user):
                self._note_incompatible(found.agent, found.reason)
                self._answer(found)
            raise
        if isinstance(message, (Claim, Resume)) and _is_of(message.address, user):
            self.agreements.learn(message.address, Versions(oldest=message.v, newest=message.upto))
        return message

    def _decode_of_fleet(self, delivered: Delivered) -> FleetMessage:
        """Raises `BadMessage` or `NotBelieved`."""
        envelope, body = delivered.envelope, delivered.body
        may_repeat = envelope.routing_key == topology.STATUS_KEY and HEADER not in delivered.headers
        if may_repeat and (again := self._repeated.read(envelope.to_fleet(topology.STATUS_KEY), body)) is not None:
            return again
        message, able = self._repeated.read_news(body) if may_repeat else (decode(body, delivered.headers), b"")
        if isinstance(message, Status):
            user = envelope.to_fleet(topology.STATUS_KEY)
            if not _is_of(message.address, user):
                raise NotBelieved(f"user {user} told a status for the address {message.address}")
            message = named(message, user)
            if may_repeat:
                self._repeated.keep(user, body, message, able)
            return message
        if not isinstance(message, (Catalogue, Work)):
            raise BadMessage(f"a {message.t} where a status, a catalogue or a master's work was expected")
        envelope.to_fleet(topology.WORK_KEY if isinstance(message, Work) else topology.CATALOGUE_KEY)
        return message

    def _foreign_peer(self, delivered: Delivered, error: UnknownVersion) -> None:
        """Broadcasts come every few seconds, and are for whoever can read them: a few of them tell enough."""
        peer = f"{delivered.envelope.user}: {error.fields.get('agent') or error.fields.get('master')}"
        self.foreign.hear()
        self._note_incompatible(peer, str(error))
        if self.foreign.keeps(peer):
            self.send_to_dead(delivered, str(error))
            self._client.message_sent_to_dead(str(error), delivered.envelope.user)

    def _note_incompatible(self, who: str, reason: str) -> None:
        if self.foreign.is_news(who):
            log.warning("amqp.peer_incompatible", who=who[:NAME_SHOWN], reason=reason)

    def _not_handled(self, delivered: Delivered, error: Exception) -> None:
        log.exception("amqp.message_not_handled", queue=delivered.queue)
        self._reject(delivered, f"cannot be handled: {type(error).__name__}")

    def _reject(self, delivered: Delivered, reason: str) -> None:
        user = delivered.envelope.user
        if self._client.message_sent_to_dead(reason, user):
            log.warning("amqp.bad_message", queue=delivered.queue, user=user, reason=reason)
        self.send_to_dead(delivered, reason)


def _is_of(address: str, user: str) -> bool:
    """The address is one of this account's."""
    try:
        return topology.address_user(address) == user
    except BadName:
        return False
