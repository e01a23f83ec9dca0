"""What a bridge's link says and settles in the same way whatever the transport."""

from __future__ import annotations

from contracts.foreign import ForeignPeers
from contracts.messages import Message, Offer, Work
from master_bridge.link import publications
from master_bridge.link.carried import Delivered, Publication
from master_bridge.link.reader import Reader
from master_bridge.link.settings import LinkSettings


class SayingLink:
    """Base of each transport's link, which has `_publish` carry a publication, or drop it while the link is down."""

    _settings: LinkSettings
    _reader: Reader
    #: those that the client was told of
    _deliveries: dict[int, Delivered]

    def _publish(self, publication: Publication) -> None:
        raise NotImplementedError

    @property
    def foreign(self) -> ForeignPeers:
        """Agents and masters of other versions."""
        return self._reader.foreign

    @property
    def user(self) -> str:
        """In whose name the master speaks."""
        return self._settings.user

    def send(self, message: Message, address: str) -> None:
        """To one agent, mandatory, in the version agreed with that agent."""
        self._publish(publications.to_agent(message, address, self.version_at(address)))

    def version_at(self, address: str) -> int:
        """The version of the protocol that was agreed with this agent."""
        return self._reader.agreements.with_peer(address)

    def broadcast(self, message: Message) -> None:
        """To every agent that is connected."""
        self._publish(publications.to_all_agents(message))

    def send_marker(self, message: Message) -> None:
        """To this bridge itself (rule 10)."""
        self._publish(publications.to_ourselves(message, self.user, self._settings.master))

    def publish_work(self, work: Work) -> None:
        """For people who ask."""
        self._publish(publications.of_work(work))

    def dead_offer(self, offer: Offer, reason: str, priority: int = 0) -> None:
        """To the dead letters; `reason` is for people."""
        self._publish(publications.of_dead_offer(offer, priority, reason))

    def ack(self, delivery: int) -> None:
        """The delivery of that number is done with; one of a link that is gone is void."""
        delivered = self._deliveries.pop(delivery, None)
        if delivered is not None:
            delivered.ack()

    def dead_letter(self, delivery: int, reason: str) -> None:
        """A copy of the delivery to the dead letters; it still wants its `ack`."""
        delivered = self._deliveries.get(delivery)
        if delivered is not None:
            self._reader.send_to_dead(delivered, reason)
