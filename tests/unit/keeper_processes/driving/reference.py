"""Runs commands with Buildbot's own worker classes: one JSON line in, one JSON line out. A process of its own.

In: base folder, command, args, file content for a download, and the output after which to interrupt.
Out: the updates in order, before any line splitting, calls of writer and reader as updates, and the failure.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from buildbot_worker.pb import ProtocolCommandPb
from twisted.internet import defer, reactor, stdio, task
from twisted.protocols.basic import LineReceiver


class Recording(ProtocolCommandPb):
    """The protocol's side of a command, that writes down instead of sending."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.updates: list[Any] = []
        self.over: defer.Deferred[Any] = defer.Deferred()
        self.content = case.get("content", "").encode()
        self.position = 0
        self.interrupt_on = case.get("interrupt_on")
        args = dict(case["args"])
        if isinstance(args.get("command"), list):
            args["command"] = [tuple(w) if isinstance(w, list) else w for w in args["command"]]
        if case["command"].startswith("upload"):
            args["writer"] = "writer"
        if case["command"].startswith("download"):
            args["reader"] = "reader"
        base = case["base"]
        super().__init__(
            "utf-8", base, os.path.join(base, "b"), 1, 0, 4096, "\n", True, lambda: None, None,
            case["command"], case["n"], args, None,
        )  # fmt: skip

    def send_update(self, data: list[tuple[str, Any]]) -> None:
        for key, value in data:
            self.updates.append([key, value])
            if key in ("stdout", "stderr") and self.interrupt_on and self.interrupt_on in value:
                self.interrupt_on = None
                reactor.callLater(0, self.command.doInterrupt)

    def protocol_complete(self, failure: Any) -> Any:
        self.over.callback([failure])  # not bare: a Failure would become an errback
        return defer.succeed(None)

    def protocol_update_upload_file_close(self, writer: Any) -> Any:
        return self._call("close")

    def protocol_update_upload_file_utime(self, writer: Any, accessed: float, modified: float) -> Any:
        return self._call("utime", [accessed, modified])

    def protocol_update_upload_file_write(self, writer: Any, data: Any) -> Any:
        self.updates.append(["write", data.hex()])
        return defer.succeed(None)

    def protocol_update_upload_directory(self, writer: Any) -> Any:
        return self._call("unpack")

    protocol_update_upload_directory_write = protocol_update_upload_file_write

    def protocol_update_read_file_close(self, reader: Any) -> Any:
        return defer.succeed(None)

    def protocol_update_read_file(self, reader: Any, length: int) -> Any:
        data = self.content[self.position : self.position + length]
        self.position += length
        return defer.succeed(data)

    def _call(self, *call: Any) -> Any:
        self.updates.append(["writer", list(call)])
        return defer.succeed(None)


class Cases(LineReceiver):
    delimiter = b"\n"
    MAX_LENGTH = 1 << 24

    def lineReceived(self, line: bytes) -> None:
        task.deferLater(reactor, 0, self.case, json.loads(line))

    @defer.inlineCallbacks
    def case(self, case: dict[str, Any]) -> Any:
        failure = None
        try:
            recording = Recording(case)
        except Exception as error:
            updates, failure = [], f"{type(error).__name__}: {error}"
        else:
            d = recording.command.doStart()
            d.addCallback(lambda _: None)
            d.addBoth(recording.command_complete)
            [found] = yield recording.over
            updates = recording.updates
            if found is not None:
                failure = f"{type(found.value).__name__}: {found.value}"
        self.sendLine(json.dumps({"updates": updates, "failure": failure}).encode())

    def connectionLost(self, reason: Any = None) -> None:
        reactor.stop()


if __name__ == "__main__":
    sys.path.pop(0)
    stdio.StandardIO(Cases())
    reactor.run()
