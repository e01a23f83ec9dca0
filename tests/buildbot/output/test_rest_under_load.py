"""Buildbot's REST API under clients that keep their connection, and clients that leave before the answer."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.harness.master import BuildMaster

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

#: Seconds of load. Without the remedy the first answer was cut within 15 s, and the listener dead within 60.
LOAD = 40.0
#: Path -> the key of its answer.
PATHS = {"/builders": "builders", "/builders?limit=3": "builders", "/masters": "masters", "/workers": "workers"}
CONFIG = """
c['workers'] = [worker.LocalWorker('w')]
for number in range(300):
    builder(f'builder-{number}', ['w'], steps.ShellCommand(command=['true']))
"""


def test_every_answer_is_whole_and_of_its_request(tmp_path: Path) -> None:
    """With `answer_in_the_reactor`, as the harness's master.cfg calls it: nothing is cut, mixed or refused."""
    master = BuildMaster(tmp_path / "master", CONFIG, url=None)
    master.create()
    master.start()
    try:
        end = time.monotonic() + LOAD
        answers: list[int] = []
        wrong: list[str] = []
        threads = [threading.Thread(target=_ask, args=(master.www_port, end, answers, wrong)) for _ in range(3)]
        threads += [threading.Thread(target=_leave, args=(master.www_port, end)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(answers) == 3
        assert min(answers) > 0, answers
        log = master.log()
        assert "Unhandled Error" not in log, log[-4000:]
        assert master.get("/masters")["masters"]
    finally:
        master.stop()


def _ask(port: int, end: float, answers: list[int], wrong: list[str]) -> None:
    """One connection for all requests; what is not the whole answer of its request goes to `wrong`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    count = 0
    while time.monotonic() < end and not wrong:
        for path, key in PATHS.items():
            try:
                connection.request("GET", f"/api/v2{path}")
                found = json.loads(connection.getresponse().read())
            except (http.client.HTTPException, OSError, ValueError) as error:
                wrong.append(f"{path}: {error!r}")
                break
            if key not in found:
                wrong.append(f"{path}: answered with {sorted(found)}")
            count += 1
    answers.append(count)
    connection.close()


def _leave(port: int, end: float) -> None:
    """Ask for much, and hang up when the answer begins to come, or a little before."""
    patience = 0.02
    while time.monotonic() < end:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"GET /api/v2/builders HTTP/1.1\r\nHost: x\r\n\r\n")
            client.settimeout(patience)
            try:
                client.recv(1)
            except OSError:  # it did not begin yet: leave all the same
                patience = 0.02 + (patience * 1.7) % 0.3
