"""A listener that shows a certificate of a given time, and speaks nothing else."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import trustme

from contracts.operations.amqp_url import BrokerAddress


def _at(days: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(days=days)


class Shown:
    """Shakes hands with whoever comes, until it is closed. `ca`: the file of the authority.

    `first` and `last`: the days of the certificate, as people read them.
    """

    def __init__(self, context: ssl.SSLContext, ca: Path, first: datetime, last: datetime) -> None:
        self.first, self.last = f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}"
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.ca = ca
        self.address = BrokerAddress(
            host="127.0.0.1", port=self._socket.getsockname()[1], user="u", password="p", vhost="/", secure=True
        )
        self._context = context
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"amqps://u:p@127.0.0.1:{self.address.port}/"

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


def show(folder: Path, first: float, last: float) -> Shown:
    """With a certificate that is valid from `first` to `last`, in days from now."""
    authority = trustme.CA()
    begin, end = _at(first), _at(last)
    issued = authority.issue_cert("127.0.0.1", not_before=begin, not_after=end)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    ca = folder / "ca-of-listener.pem"
    authority.cert_pem.write_to_path(str(ca))
    return Shown(context, ca, begin, end)
