"""Where the broker is and how to connect to it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import quote

from yarl import URL

from contracts.operations.amqp_url import BrokerAddress, parse_url
from contracts.operations.office_url import STDIO, OfficeAddress, is_office_url, parse_office_url
from worker_agent.program.settings import Settings
from worker_agent.signatures import Trust

#: In the state folder of an agent that its master reaches.
ATTACH_SOCKET = "attach.sock"


@dataclass(frozen=True, kw_only=True)
class TLSFiles:
    """PEM files, or their text. Without `ca` the system's certificate authorities count; `key` None: it is in the
    `certificate`.
    """

    ca: Path | str | None = None
    certificate: Path | str | None = field(default=None, repr=False)
    key: Path | str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class LinkOptions:
    """All that a link needs to know. `url` holds the password, so it is not in the repr."""

    url: str = field(repr=False)
    #: the file that holds `url`, and may hold another one by the time of the next try
    url_file: Path | None = None
    #: shown by the broker's management page and in `rabbitmqctl list_connections`
    name: str
    #: seconds; the broker gives a silent connection up after two of them
    heartbeat: int = 10
    #: seconds for a connection to be made
    connect_timeout: float = 10.0
    #: longest pause between two tries, seconds. Below the 35 s for which a bridge waits for its agents after its own
    #: link came up (contracts.timing.GRACE_AFTER_LINK_UP), so that a restart of the broker costs no session.
    reconnect_max: float = 15.0
    #: the socket at which an agent that its master reaches is met
    attach_at: Path = Path("attach.sock")
    #: the agent has one slot, so that it never holds an offer while it waits for another
    one_offer: bool = True
    tls: TLSFiles = field(default_factory=TLSFiles)
    #: whom to believe; one object for all links of the process
    trust: Trust = field(default_factory=Trust)

    @property
    def is_office(self) -> bool:
        """The agent comes to a master itself: there is no broker."""
        return is_office_url(self.url)

    @property
    def is_reached(self) -> bool:
        """Its master comes to the agent, and decides when."""
        return self.is_office and self.office.wire == STDIO

    @property
    def address(self) -> BrokerAddress:
        """Of a broker."""
        return parse_url(self.url)

    @property
    def office(self) -> OfficeAddress:
        """Of a master that listens itself."""
        return parse_office_url(self.url)

    @property
    def user(self) -> str:
        """The account that logs in: the first word of the agent's own routing keys."""
        return self.office.user if self.is_office else self.address.user

    @property
    def where(self) -> str:
        """For logs: scheme, host, port, a broker's vhost, and neither user nor password."""
        if self.is_office:
            return self.office.listener
        return f"{self.address.listener}/{quote(self.address.vhost, safe='')}"

    def connection_url(self) -> URL:
        """The URL as aio-pika takes it, with the heartbeat unless the URL has one."""
        url = URL(self.url.strip())
        return url if "heartbeat" in url.query else url.update_query(heartbeat=self.heartbeat)

    def tls_context(self) -> ssl.SSLContext | None:
        """Context for `amqps`, None for `amqp`. Raises OSError or ssl.SSLError for files that cannot be used."""
        if not self.address.secure:
            return None
        return tls_context(self.tls)


def tls_context(tls: TLSFiles) -> ssl.SSLContext:
    """Raises OSError or ssl.SSLError for what cannot be used."""
    if isinstance(tls.ca, str):
        context = ssl.create_default_context(cadata=tls.ca)
    else:
        context = ssl.create_default_context(cafile=tls.ca)
    if tls.certificate is not None:
        with _as_file(tls.certificate) as certificate, _as_file(tls.key or tls.certificate) as key:
            context.load_cert_chain(certificate, key)
    return context


@contextmanager
def _as_file(pem: Path | str) -> Iterator[Path]:
    """Python takes a certificate of one's own from a file only: text is one, of mode 0600, meanwhile."""
    if not isinstance(pem, str):
        yield pem
        return
    with NamedTemporaryFile("w", encoding="ascii", suffix=".pem") as file:
        file.write(pem)
        file.flush()
        yield Path(file.name)


def link_options(settings: Settings) -> LinkOptions:
    """Of an agent with these settings, which name a broker."""
    assert settings.amqp_url is not None
    return LinkOptions(
        url=settings.amqp_url.get_secret_value(),
        url_file=settings.amqp_url_file,
        name=f"worker-agent {settings.name}",
        attach_at=settings.state / ATTACH_SOCKET,
        heartbeat=settings.heartbeat,
        reconnect_max=settings.reconnect_max,
        one_offer=settings.slots == 1,
        tls=TLSFiles(ca=settings.tls_ca, certificate=settings.tls_cert, key=settings.tls_key),
        trust=Trust(settings.trusted_key),
    )
