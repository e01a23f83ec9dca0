"""A broker's certificate whose time is over, on a socket with TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme

from contracts.operations import reachability
from contracts.operations.amqp_url import BrokerAddress


class Listener:
    """Shakes hands with whoever comes, until it is closed."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._context = context
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self._socket.accept()
            except OSError:
                return  # closed
            try:
                self._context.wrap_socket(taken, server_side=True).close()
            except OSError:
                taken.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def expired(tmp_path: Path) -> Iterator[tuple[BrokerAddress, Path]]:
    """A listener whose certificate ended yesterday, and its authority's file."""
    authority = trustme.CA()
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    issued = authority.issue_cert("127.0.0.1", not_before=yesterday - timedelta(days=9), not_after=yesterday)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    listener = Listener(context)
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    yield (
        BrokerAddress(host="127.0.0.1", port=listener.port, user="u", password="p", vhost="/", secure=True),
        ca,
    )
    listener.close()


def test_a_doctor_says_since_when_and_to_renew_it(expired: tuple[BrokerAddress, Path]) -> None:
    """Not to give another CA, which would change nothing."""
    address, ca = expired
    *_, last = reachability.reach(address, lambda: ssl.create_default_context(cafile=str(ca)), ca="--tls-ca")
    assert last.verdict == "fail"
    yesterday = (datetime.now(timezone.utc) - timedelta(days=1)).date()
    assert f"has expired (valid until {yesterday.isoformat()})" in last.seen
    assert last.remedy.startswith("renew it")
    assert "--tls-ca" not in last.remedy
