"""How to reach the broker and how to set up its queues: one frozen object, checked when it is made."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.errors import BadName
from contracts.operations import amqp_url
from contracts.operations.amqp_url import BadURL, BrokerAddress
from contracts.operations.office_url import TLS_WIRES, ListenAddress, is_office_url, parse_listen_url
from contracts.rabbitmq.arguments import EVENTS_MAX_BYTES, QueueType
from contracts.topology import check_name, key_word
from master_bridge.link.errors import BadSettings

#: Environment variable with the broker's URL when the configuration names none.
URL_VARIABLE = "MASTER_BRIDGE_AMQP_URL"
#: … and one that is called for what is not AMQP, too. It wins.
ANY_URL_VARIABLE = "MASTER_BRIDGE_URL"
#: Seconds between heartbeats: a dead connection is noticed after about twice this.
HEARTBEAT = 10


PLAIN_WITH_TLS = "tls: given with amqp://, which is plain text; write amqps:// in the URL, or leave tls out"


@dataclass(frozen=True, kw_only=True)
class TLSSettings:
    """Files in PEM. `ca` None: the system's authorities; certificate and key None: no client certificate."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """Where the broker is and what our queues look like there. Raises `BadSettings` naming the wrong argument."""

    #: amqp://user:password@host:port/vhost, or amqps://…; kept out of every log
    url: str = field(repr=False)
    master: str
    tls: TLSSettings | None = None
    queue_type: QueueType = "classic"
    heartbeat: int = HEARTBEAT
    events_max_bytes: int = EVENTS_MAX_BYTES
    #: PEM file of the Ed25519 key that signs what is sent to agents; None: not signed
    signing_key: str | None = None

    def __post_init__(self) -> None:
        if self.is_office:
            listen = parse_listen(self.url)
            if self.tls is not None and listen.wire not in TLS_WIRES:
                raise BadSettings(f"tls: given with {listen.wire}:, which has none; leave it out")
            if self.tls is not None and not listen.tls:
                raise BadSettings("tls: given with tls=off in the URL; leave one of them out")
        elif self.tls is not None and not self.address.secure:
            raise BadSettings(PLAIN_WITH_TLS)
        try:
            check_name(self.master, "master")
        except BadName as error:
            raise BadSettings(f"master: {error}") from None

    @property
    def is_office(self) -> bool:
        """Agents come to this master itself: there is no broker."""
        return is_office_url(self.url)

    @property
    def address(self) -> BrokerAddress:
        """The parts of `url`, which is a broker's."""
        return parse_url(self.url)

    @property
    def user(self) -> str:
        """In whose name the master speaks: of the broker's account, or its own."""
        return self.master if self.is_office else self.address.user

    @property
    def where(self) -> str:
        """For people: the broker without the password, or where agents are listened for."""
        return parse_listen(self.url).listener if self.is_office else str(self.address)

    def left_for(self, other: LinkSettings) -> None:
        """Agents move from here to `other`. Raises `BadSettings` where their sessions could not."""
        if self.is_office and other.is_office:
            raise BadSettings("moving_from: url and moving_from are both of this master itself; leave moving_from out")
        if self.url == other.url:
            raise BadSettings("moving_from: it is the same as url; leave it out")
        if key_word(self.user) != key_word(other.user):
            raise BadSettings(
                f"moving_from: this master is {self.user!r} there and {other.user!r} at url, and sessions belong to a "
                "name: give the master's account at RabbitMQ the master's own name"
            )

    def signer(self) -> Any:
        """Gives the headers that sign a message, as one issuer (`Publisher`); None: nothing is signed.

        Raises `BadSettings` for a key that cannot be used.
        """
        if self.signing_key is None:
            return None
        from contracts.trust.signing import BadKey, Signer  # cryptography, which who signs nothing does without

        try:
            return Signer.from_file(Path(self.signing_key)).headers
        except BadKey as error:
            raise BadSettings(str(error)) from None


def parse_url(url: str) -> BrokerAddress:
    """The parts of an AMQP URL. Raises `BadSettings`; its message never repeats the URL, which may hold a password."""
    try:
        return amqp_url.parse_url(url)
    except BadURL as error:
        raise BadSettings(f"url: {error}") from None


def parse_listen(url: str) -> ListenAddress:
    """The parts of a URL at which agents are listened for. Raises `BadSettings`."""
    try:
        return parse_listen_url(url)
    except BadURL as error:
        raise BadSettings(f"url: {error}") from None


def check_url(url: str) -> None:
    """Of whichever transport. Raises `BadSettings`."""
    if is_office_url(url):
        parse_listen(url)
    else:
        parse_url(url)


def url_from_environment(environment: Any = os.environ) -> str | None:
    """The URL in MASTER_BRIDGE_URL, or MASTER_BRIDGE_AMQP_URL as it was called first; None when neither is set."""
    return environment.get(ANY_URL_VARIABLE) or environment.get(URL_VARIABLE) or None
