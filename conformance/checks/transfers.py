"""Files between master and agent: uploads as events, downloads by pulls (docs/protocol.md, "Transfers")."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from typing import Any

from conformance.errors import expect
from conformance.requirement import Topic
from conformance.session import Session
from conformance.stage import Stage
from contracts.messages import Data, Pull
from contracts.timing import EVENT_RESEND

requirement = Topic()
RULE = "Transfers"
#: More than one event or pull, and not a round number; every byte occurs.
CONTENT = bytes(range(256)) * 4000 + b"end"


def _upload(name: str, **more: Any) -> dict[str, Any]:
    return {"workdir": "build", "workersrc": name, "maxsize": None, "blocksize": 16384, "keepstamp": False, **more}


def _download(name: str, **more: Any) -> dict[str, Any]:
    return {"workdir": "build", "workerdest": name, "maxsize": None, "blocksize": 16384, "mode": None, **more}


def serve(stage: Stage, session: Session, n: int, content: bytes, *, ignore: int = 0, times: int = 1) -> None:
    """Answer each pull `times` times until the command is complete; the first `ignore` of them not at all."""
    patience = stage.master.patience + ignore * EVENT_RESEND * 2
    seen = 0

    def pulls() -> list[Pull]:
        return stage.master.all(Pull, lambda pull: pull.session == session.id and pull.n == n)

    def more(seen: int) -> Callable[[], bool]:
        return lambda: len(pulls()) > seen or session.completed(n) is not None

    while session.completed(n) is None:
        stage.master.wait(more(seen), f"a pull of command {n}", patience)
        for pull in pulls()[seen:]:
            seen += 1
            for _ in range(times if seen > ignore else 0):
                _answer(stage, session, pull, content)


def _answer(stage: Stage, session: Session, pull: Pull, content: bytes) -> None:
    part = content[pull.offset : pull.offset + pull.length]
    data = Data(
        session=session.id, incarnation=stage.master.incarnation, n=pull.n, offset=pull.offset, size=len(content),
        data=part,
    )  # fmt: skip
    stage.master.tell(session, data)


def begin_download(stage: Stage, session: Session, n: int, content: bytes, **more: Any) -> None:
    """Starts command `n`, which fetches `content` into "file"; `more` are further arguments of it."""
    command = stage.master.command(n, "downloadFile", _download("file", **more), hashlib.sha256(content).hexdigest())
    stage.master.start(session, command)


def check_file(stage: Stage, session: Session, n: int, content: bytes) -> None:
    """Command `n` shows "file", which has to be `content`. Raises `Violated`."""
    completed = stage.shell(session, n, "cat file", timeout=None)
    found = session.data(n, "stdout")
    expect(
        found == content, f"the agent's file has {len(found)} bytes, or others than the {len(content)} sent", completed
    )


@requirement("upload.file", "`uploadFile` sends the file's bytes as `write` events, then closes the writer", rule=RULE)
def upload_file(stage: Stage) -> None:
    session = stage.session()
    octal = "".join(f"\\{number:03o}" for number in range(256))
    stage.shell(
        session, 1, f"i=0; while [ $i -lt 4000 ]; do printf '{octal}'; i=$((i+1)); done > file; printf end >> file"
    )
    completed = stage.run(session, 2, "uploadFile", _upload("file"))
    found = session.data(2, "write")
    expect(found == CONTENT, f"{len(found)} bytes came, or others than the {len(CONTENT)} of the file", completed)
    calls = [event.value for event in session.of(2, "writer")]
    expect(["close"] in calls, f"the writer was not closed: {calls}", completed)
    expect(session.updates(2).get("rc") == 0, f"rc is {session.updates(2).get('rc')!r}", completed)
    stage.finish(session)


@requirement("upload.missing", "`uploadFile` of a file that is not there ends with an rc other than 0", rule=RULE)
def upload_missing(stage: Stage) -> None:
    session = stage.session()
    completed = stage.run(session, 1, "uploadFile", _upload("nothing"))
    expect(session.updates(1).get("rc") not in (None, 0), f"rc is {session.updates(1).get('rc')!r}", completed)
    expect(not session.data(1, "write"), "it sent something", completed)
    stage.finish(session)


@requirement(
    "upload.maxsize", "`uploadFile` sends no more than `maxsize` bytes, and rc says that it is not all", rule=RULE
)
def upload_maxsize(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "head -c 3000 /dev/zero > file")
    completed = stage.run(session, 2, "uploadFile", _upload("file", maxsize=1000))
    sent = len(session.data(2, "write"))
    expect(sent == 1000, f"it sent {sent} bytes", completed)
    expect(session.updates(2).get("rc") not in (None, 0), "rc is 0", completed)
    stage.finish(session)


@requirement(
    "upload.keepstamp", "With `keepstamp` the file's times follow as a call of the writer", rule=RULE, level="should"
)
def upload_keepstamp(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "echo x > file; touch -d '2001-02-03 04:05:06 UTC' file")
    completed = stage.run(session, 2, "uploadFile", _upload("file", keepstamp=True))
    calls = [event.value for event in session.of(2, "writer") if event.value and event.value[0] == "utime"]
    expect(calls and int(calls[0][1][1]) == 981173106, f"utime was called with {calls}", completed)
    stage.finish(session)


@requirement("upload.directory", "`uploadDirectory` sends a tar archive and has it unpacked", rule=RULE, level="should")
def upload_directory(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "mkdir -p d/sub; echo one > d/a; echo two > d/sub/b")
    args = {"workdir": "build", "workersrc": "d", "maxsize": None, "blocksize": 16384, "compress": "gz"}
    completed = stage.run(session, 2, "uploadDirectory", args)
    calls = [event.value for event in session.of(2, "writer")]
    expect(["unpack"] in calls, f"the writer was not told to unpack: {calls}", completed)
    try:
        with tarfile.open(fileobj=io.BytesIO(session.data(2, "write")), mode="r:gz") as archive:
            names = {name.removeprefix("./") for name in archive.getnames()}
    except tarfile.TarError as error:
        expect(False, f"what it sent is no tar.gz: {error}", completed)
    expect({"a", "sub/b"} <= names, f"the archive holds {sorted(names)}", completed)
    stage.finish(session)


@requirement("download.file", "`downloadFile` pulls the file and writes it, byte by byte", rule=RULE)
def download_file(stage: Stage) -> None:
    session = stage.session()
    begin_download(stage, session, 1, CONTENT)
    serve(stage, session, 1, CONTENT)
    expect(session.updates(1).get("rc") == 0, f"rc is {session.updates(1).get('rc')!r}", session.completed(1))
    check_file(stage, session, 2, CONTENT)
    stage.finish(session)


@requirement("download.empty", "An empty file is downloaded, too", rule=RULE)
def download_empty(stage: Stage) -> None:
    session = stage.session()
    begin_download(stage, session, 1, b"")
    serve(stage, session, 1, b"")
    expect(session.updates(1).get("rc") == 0, f"rc is {session.updates(1).get('rc')!r}", session.completed(1))
    check_file(stage, session, 2, b"")
    stage.finish(session)


@requirement("download.mode", "`mode` is the new file's permissions", rule=RULE, level="should")
def download_mode(stage: Stage) -> None:
    session = stage.session()
    content = b"#!/bin/sh\necho ran\n"
    begin_download(stage, session, 1, content, mode=0o755)
    serve(stage, session, 1, content)
    completed = stage.shell(session, 2, "./file")
    expect(session.data(2, "stdout") == b"ran\n", "the file cannot be run", completed)
    stage.finish(session)


@requirement("download.pull-again", "A pull that is not answered for 5 s is sent again", rule=RULE)
def download_pull_again(stage: Stage) -> None:
    session = stage.session()
    content = b"patience"
    begin_download(stage, session, 1, content)
    serve(stage, session, 1, content, ignore=1)
    expect(session.updates(1).get("rc") == 0, f"rc is {session.updates(1).get('rc')!r}", session.completed(1))
    check_file(stage, session, 2, content)
    stage.finish(session)


@requirement("download.duplicate-data", "Bytes that come twice are written once", rule=RULE)
def download_duplicate(stage: Stage) -> None:
    session = stage.session()
    begin_download(stage, session, 1, CONTENT)
    serve(stage, session, 1, CONTENT, times=2)
    check_file(stage, session, 2, CONTENT)
    stage.finish(session)


@requirement("download.interrupt", "A download that waits for its bytes can be interrupted", rule=14)
def download_interrupt(stage: Stage) -> None:
    session = stage.session()
    begin_download(stage, session, 1, CONTENT)
    stage.master.wait_for(Pull)
    stage.master.interrupt(session, 1, "no patience")
    completed = stage.master.completed(session, 1)
    expect(completed.interrupted == "no patience", f"`interrupted` is {completed.interrupted!r}", completed)
    stage.finish(session)
