"""Archives whose members lead elsewhere, unpacked by the writer that Buildbot gives to the bridge."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from buildbot.process.remotetransfer import DirectoryWriter
from twisted.internet import defer

from contracts.messages import Event
from master_bridge.buildbot import transfers


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o644
    return made


#: Members one after the other, as an archive may have them.
ARCHIVES = {
    "file above": [member("../escaped")],
    "file far above": [member("a/b/../../../../escaped")],
    "folder above": [member("../escaped", tarfile.DIRTYPE)],
    "link above": [member("link", tarfile.SYMTYPE, "../escaped")],
    "link to an absolute path": [member("link", tarfile.SYMTYPE, "/etc")],
    "hard link above": [member("link", tarfile.LNKTYPE, "../secret")],
    "hard link to an absolute path": [member("link", tarfile.LNKTYPE, "/etc/hostname")],
    "file through a link": [member("d", tarfile.SYMTYPE, ".."), member("d/escaped")],
    "file through two links": [
        member("a", tarfile.DIRTYPE), member("a/b", tarfile.SYMTYPE, ".."), member("c", tarfile.SYMTYPE, "a/b/.."),
        member("c/escaped"),
    ],
    "device": [member("device", tarfile.CHRTYPE)],
    "pipe and a file above": [member("pipe", tarfile.FIFOTYPE), member("../escaped")],
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_no_archive_writes_outside_of_its_target(name: str, tmp_path: Path) -> None:
    """Unpacking what a session's events brought fails, and what is beside the target is as it was."""
    (tmp_path / "secret").write_text("secret")
    archive = io.BytesIO()
    with tarfile.open(mode="w", fileobj=archive) as tar:
        for each in ARCHIVES[name]:
            tar.addfile(each, io.BytesIO())
    writer = DirectoryWriter(str(tmp_path / "target"), None, None, None)
    events = [Event(session="s", seq=1, n=1, kind="write", data=archive.getvalue())]
    events.append(Event(session="s", seq=2, n=1, kind="writer", value=["unpack"]))
    failures: list[object] = []
    for event in events:
        done: defer.Deferred[object] = transfers.write(writer, event)
        done.addErrback(failures.append)
    assert failures
    assert sorted(path.name for path in tmp_path.iterdir()) in (["secret"], ["secret", "target"])
    assert (tmp_path / "secret").stat().st_nlink == 1
    target = (tmp_path / "target").resolve()
    found = list(target.rglob("*"))
    assert not [path for path in found if path.name == "escaped" or not path.resolve().is_relative_to(target)]
