"""Viewers of the fleet's page: each asks as its script does (`www/static/scripts.js`, POLL), and drops the answer.

Prints one line of JSON when it has ended: {"answers": count, "bytes": sum, "slowest": seconds}.

`python -m benchmarks.stand.viewers PORT VIEWERS SECONDS`
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time

#: Seconds from an answer to the next question, as in scripts.js; it asks for its rights every 5 s, too.
POLL, RIGHTS = 1.5, 5.0


class Viewer(threading.Thread):
    def __init__(self, port: int, begins: float, until: float) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._begins, self._until = begins, until
        self.answers = self.bytes = 0
        self.slowest = 0.0

    def run(self) -> None:
        time.sleep(max(0.0, self._begins - time.monotonic()))
        incarnation, at, rights = "", "0", 0.0
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while (now := time.monotonic()) < self._until:
            if now - rights >= RIGHTS:
                rights = now
                self._ask(connection, "orders")
            told = self._ask(connection, f"fleet?incarnation={incarnation}&at={at}")
            incarnation, at = told["incarnation"], told["at"]
            time.sleep(POLL)

    def _ask(self, connection: http.client.HTTPConnection, path: str) -> dict[str, str]:
        began = time.monotonic()
        connection.request("GET", f"/plugins/amqp_fleet/{path}", headers={"Accept-Encoding": "gzip, deflate"})
        text = connection.getresponse().read()
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.answers += 1
        self.bytes += len(text)
        found: dict[str, str] = json.loads(text)
        return found


def main(port: int, count: int, seconds: float) -> None:
    now = time.monotonic()
    viewers = [Viewer(port, now + number * POLL / count, now + seconds) for number in range(count)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join()
    told = {
        "answers": sum(viewer.answers for viewer in viewers),
        "bytes": sum(viewer.bytes for viewer in viewers),
        "slowest": max(viewer.slowest for viewer in viewers),
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
