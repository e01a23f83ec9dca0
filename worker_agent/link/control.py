"""Reads what masters tell an agent: by which way it came, who sent it, what it says. The rest is put to the dead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from contracts import topology
from contracts.codec import decode
from contracts.errors import BadMessage, NotBelieved, UnknownVersion
from contracts.messages import AnyMessage, Catalogue, Grant, Later
from contracts.protocol_version import Versions
from contracts.trust.envelope import Envelope
from worker_agent.core.inputs import Input, MessageReceived
from worker_agent.link.port import Arrived, Kept
from worker_agent.signatures import Trust

log = structlog.get_logger(__name__)

#: Characters shown of the name of a master of another version: what it sends is not checked.
MASTER_SHOWN = 128


class ControlReader:
    """Of one connection, which is reached at `address`. `dead`: a message as it came, the reason, the address."""

    def __init__(
        self,
        address: str,
        *,
        kept: Kept,
        trust: Trust,
        on_input: Callable[[Input], None],
        asked: Callable[[], None],
        dead: Callable[[Arrived, str, str], Awaitable[object]],
    ) -> None:
        self._address = address
        self._kept = kept
        self._trust = trust
        self._on_input = on_input
        self._asked = asked
        self._dead = dead

    async def read(self, message: Arrived) -> None:
        """Whatever comes, it is answered, put into the dead letters or dropped, and nothing else changes.

        None of it waits for the connection: what cannot be published has ended the link by itself, so every error here
        is one about this message, a RuntimeError or an OSError too.
        """
        try:
            await self._read(message)
        except Exception as error:
            log.exception("message_not_handled", queue=self._address)
            await self._dead(message, f"cannot be handled: {type(error).__name__}", self._address)

    async def _read(self, message: Arrived) -> None:
        """Who sent it comes first, then the signature, then the words."""
        envelope = Envelope.of(
            exchange=message.exchange,
            routing_key=message.routing_key,
            user_id=message.user_id,
            headers=message.headers,
        )
        refusal: str | None = None
        user = ""
        try:
            of_fleet = envelope.exchange == topology.FLEET
            user = envelope.to_fleet(topology.CATALOGUE_KEY) if of_fleet else envelope.to_agent(self._address)
        except NotBelieved as error:
            refusal = str(error)
        if refusal is None and envelope.routing_key == topology.TELL:
            self._asked()
            return
        trust, exchange, key = self._trust, envelope.exchange, envelope.routing_key
        if refusal is None:
            refusal = trust.refusal(message, exchange, key, fresh=True)
        if refusal is not None:
            if trust.is_news(refusal, key):
                log.error("message_sender_not_verified", exchange=exchange, key=key, user=envelope.user, reason=refusal)
                await self._dead(message, refusal, self._address)
            return
        received = await self._decode(message)
        if received is None:
            return
        if isinstance(received, Catalogue) != (exchange == topology.FLEET):
            await self._dead(message, f"a {received.t} does not come through {exchange}", self._address)
            return
        if isinstance(received, Grant):
            self._kept.agreements.learn(received.master, Versions(oldest=received.v, newest=received.v))
        elif isinstance(received, Later) and received.reason:
            self._foreign_master(received.master, received.reason)
        self._on_input(MessageReceived(message=received, user=user))

    async def _decode(self, message: Arrived) -> AnyMessage | None:
        """None: it could not be read, and is where such messages go."""
        try:
            return decode(message.body, message.headers)
        except UnknownVersion as error:
            master = str(error.fields.get("master", ""))[:MASTER_SHOWN]
            self._kept.foreign.hear()
            self._foreign_master(master, str(error))
            # broadcasts come every few seconds, and are for whoever can read them: a few of them tell enough
            if message.routing_key == self._address or self._kept.foreign.keeps(master):
                await self._dead(message, str(error), self._address)
        except BadMessage as error:
            log.error("message_unreadable", queue=self._address, reason=str(error))
            await self._dead(message, str(error), self._address)
        return None

    def _foreign_master(self, master: str, reason: str) -> None:
        """One line a master, not one a message."""
        if self._kept.foreign.is_news(master):
            log.warning("incompatible_master", master=master, reason=reason, remedy="upgrade the older of the two")
