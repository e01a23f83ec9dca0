"""Buildbot's commands as JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePosixPath
from typing import Any

import pytest
from buildbot.process.remotetransfer import StringFileReader, StringFileWriter
from twisted.internet.task import Clock

from contracts.messages import Event
from master_bridge.buildbot.files.downloads import MEMORY
from master_bridge.buildbot.files.transfers import spool_reader, write
from master_bridge.buildbot.sessions.commands import BadArguments, prepare, split_arguments


def test_arguments_become_json() -> None:
    """Tuples, bytes and paths; a secret argument keeps its real and its shown text."""
    args = {
        "command": ["login", ("obfuscated", "sesame", "XXX"), b"caf\xc3\xa9"],
        "env": {"A": ("x", "y"), b"B": None},
        "workdir": PurePosixPath("build"),
        "timeout": 1.5,
    }
    values = split_arguments("shell", args).values
    assert json.loads(json.dumps(values)) == {
        "command": ["login", ["obfuscated", "sesame", "XXX"], "café"],
        "env": {"A": ["x", "y"], "B": None},
        "workdir": "build",
        "timeout": 1.5,
    }


def test_readers_and_writers_stay_here() -> None:
    """They are taken out and do not count for the digest; what a download delivers does."""
    writer, reader = StringFileWriter(), StringFileReader("x")
    arguments = split_arguments("uploadFile", {"writer": writer, "reader": reader, "path": "p"})
    assert (arguments.writer, arguments.reader, dict(arguments.values)) == (writer, reader, {"path": "p"})
    same = split_arguments("uploadFile", {"path": "p", "writer": StringFileWriter()})
    assert prepare("c", arguments).digest == prepare("c", same).digest
    assert prepare("c", arguments, "aa").digest != prepare("c", arguments, "bb").digest


@pytest.mark.parametrize("value", [object(), {1, 2}, b"\xff", [b"\xff"]])
def test_what_cannot_be_sent_is_named(value: object) -> None:
    """The error names command and argument."""
    with pytest.raises(BadArguments, match="argument 'x' of command 'shell'"):
        split_arguments("shell", {"x": value})


def test_a_download_is_spooled_once() -> None:
    """Any part can be read again; one byte more than maxsize is kept, so that agents see that it is too long."""
    content = "0123456789" * (MEMORY // 3) + "9"
    results: list[object] = []
    spool_reader(StringFileReader(content), None, Clock()).addCallback(results.append)
    (spool,) = results
    assert spool.size == len(content)  # type: ignore[attr-defined]
    assert spool.digest() == hashlib.sha256(content.encode()).hexdigest()  # type: ignore[attr-defined]
    assert spool.read(10, 5) == b"01234"  # type: ignore[attr-defined]
    assert spool.read(3, 4) == b"3456"  # type: ignore[attr-defined]
    assert spool.read(len(content) - 1, 9) == b"9"  # type: ignore[attr-defined]
    spool.close()  # type: ignore[attr-defined]
    spool_reader(StringFileReader("abcdef"), 3, Clock()).addCallback(results.append)
    assert results[1].size == 4  # type: ignore[attr-defined]
    results[1].close()  # type: ignore[attr-defined]


def test_upload_events_call_the_writer() -> None:
    """write, utime, unpack and close; a call that no writer has is an error."""
    calls: list[object] = []

    class Writer:
        def remote_write(self, data: bytes) -> None:
            calls.append(data)

        def remote_utime(self, times: tuple[float, float]) -> None:
            calls.append(times)

        def remote_close(self) -> None:
            calls.append("close")

    def event(kind: Any, value: object = None, data: bytes = b"") -> Event:
        return Event(session="s", seq=1, n=1, kind=kind, value=value, data=data)

    write(Writer(), event("write", data=b"\x00\xff"))
    write(Writer(), event("writer", ["close"]))
    write(Writer(), event("writer", ["utime", [1.0, 2.0]]))
    assert calls == [b"\x00\xff", "close", (1.0, 2.0)]
    errors: list[object] = []
    write(Writer(), event("writer", ["remove"])).addErrback(errors.append)
    write(None, event("write", data=b"x")).addErrback(errors.append)
    assert len(errors) == 2
