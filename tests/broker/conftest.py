"""No test leaves a connection of its own to the broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pika
import pytest
from pika.exceptions import AMQPError


@pytest.fixture(autouse=True)
def plain_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[pika.BlockingConnection]]:
    """Those of pika that the test and its helpers open: what is open at its end is closed.

    Else their sockets stay until Python collects them as garbage, and a warning blames the test that runs then.
    Connections of fixtures that outlive a test are there before this one begins, and stay.
    """
    opened: list[pika.BlockingConnection] = []
    begin = pika.BlockingConnection.__init__

    def noted(self: pika.BlockingConnection, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        opened.append(self)

    monkeypatch.setattr(pika.BlockingConnection, "__init__", noted)
    yield opened
    for connection in opened:
        if connection.is_open:
            with suppress(AMQPError):  # the broker has closed it, which nobody had noticed
                connection.close()
