"""Folders: packed as they are, unpacked of agents that may say anything, and there whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import socket
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from master_bridge.operating.errors import OperatingError
from master_bridge.running import Fleet, folder_steps
from master_bridge.running.local_folders import NAMED_MAX, LeftOut, LocalFolder
from master_bridge.running.orders import OrderOutcome, StepFailed
from tests.unit.bridge_edge.output.archives import END, archive, block, member
from tests.unit.running.test_steps import FILE, FOLDER, Disk, event

LINK, HARD, PIPE, DEVICE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE


def got(target: Path, data: bytes | Sequence[bytes], *, packs: bool = True) -> dict[str, Any]:
    """What `get` says of a folder that an agent sends so."""
    begun = folder_steps.get("d", target, basedir="/b", force=False, packs=packs)
    next(begun)
    order = begun.send(OrderOutcome(rc=0, mode=FOLDER))
    assert order.name == ("uploadDirectory" if packs else "shell")
    outcome = OrderOutcome()
    for piece in [data] if isinstance(data, bytes) else data:
        outcome.take(event("write" if packs else "stdout", data=piece), order)
    outcome.take(event("update", ["rc", 0]), order)
    outcome.take(event("completed"), order)
    try:
        begun.send(outcome)
    except StopIteration as end:
        return dict(end.value)
    raise AssertionError("it wants more")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "ein \u00e4 'folder'"
    (made / "below" / "empty").mkdir(parents=True)
    (made / "run.sh").write_text("#!/bin/sh\n")
    (made / "run.sh").chmod(0o755)
    (made / "below" / "secret").write_text("x")
    (made / "below" / "secret").chmod(0o600)
    (made / "below" / "empty").chmod(0o700)
    (made / "link").symlink_to("below/secret")
    (made / "to a folder").symlink_to("below")
    (made / os.fsdecode(b"\xff\n-rf")).write_bytes(b"odd")
    (made / ("long " * 40)).write_text("long")
    return made


@pytest.mark.parametrize("packs", [True, False])
def test_a_folder_comes_back_as_it_went(folder: Path, tmp_path: Path, packs: bool) -> None:
    """Names, permissions, links, times."""
    source = LocalFolder(folder)
    data = source.read(0, source.size)
    source.close()
    target = tmp_path / "back"
    said = got(target, [data[:1000], data[1000:]], packs=packs)
    assert said == {"exit_status": 0, "path": target, "left_out": ()}

    def seen(root: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path in root.rglob("*"):
            name = os.path.relpath(path, root)
            if path.is_symlink():
                found[name] = os.readlink(path)
            elif path.is_dir():
                found[name] = path.stat().st_mode
            else:
                found[name] = (path.stat().st_mode, int(path.stat().st_mtime), path.read_bytes())
        return found

    assert seen(target) == seen(folder)


def test_whose_it_is_and_what_is_no_file_does_not_travel(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    os.mkfifo(tmp_path / "d" / "pipe")
    os.chdir(tmp_path)  # the path of a socket may be 108 bytes long
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("d/e/socket")
        source = LocalFolder(tmp_path / "d")
    (tmp_path / "d" / "s").write_text("")
    assert sorted(source.left_out.told) == ["./e/socket: it is a socket", "./pipe: it is a pipe or a device"]
    with tarfile.open(fileobj=io.BytesIO(source.read(0, source.size))) as tar:
        assert {(each.uid, each.gid, each.uname, each.gname) for each in tar} == {(0, 0, "", "")}
        assert tar.getnames() == [".", "./e"]
    source.close()


def test_a_folder_that_cannot_be_packed_is_said_before_anybody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(OperatingError, match="has no name"):
        LocalFolder(Path("/"))
    with pytest.raises(OperatingError, match="No such file"):
        LocalFolder(tmp_path / "none")
    fleet = Fleet("amqp://nobody@192.0.2.1/")
    with pytest.raises(OperatingError, match="has the permissions that it has here"):
        fleet.put(tmp_path, "x", mode=0o644, match=["any"])
    for nameless in ("/", "..", "a/.."):
        with pytest.raises(OperatingError, match="has no name of its own"):
            fleet.get(nameless, tmp_path, match=["any"])


def test_all_that_cannot_be_read_is_named_and_nothing_is_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone when its turn comes, not readable, shorter than it said: each is named, and what to do about it."""
    (folder / "shrinks").write_bytes(b"x" * 100)
    lstat, root = os.lstat, f"{folder.resolve()}"

    def at_its_turn(path: Any, **more: Any) -> os.stat_result:
        found = lstat(path, **more)
        if path == f"{root}/run.sh":
            os.unlink(path)
            return lstat(path, **more)
        if path == f"{root}/shrinks":
            os.truncate(path, 50)
        if path == f"{root}/below/secret":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return found

    monkeypatch.setattr(os, "lstat", at_its_turn)
    with pytest.raises(OperatingError) as raised:
        LocalFolder(folder)
    said = str(raised.value)
    assert said.startswith(
        f"{root} is not copied; put it again when nobody writes to it, or without what cannot be read: "
    )
    for name, why in {
        "run.sh": "No such file",
        "shrinks": "it became shorter",
        "below/secret": "Permission denied",
    }.items():
        assert f"{name}: {why}" in said


def test_no_room_for_the_archive_is_no_fault_of_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(OperatingError, match=r"^/.*: No space left on device, .*: set TMPDIR to a folder with room"):
        LocalFolder(folder)


@pytest.mark.parametrize(
    "hostile",
    [
        archive([member("../out")], b"x"),
        archive([member("a/../../out")], b"x"),
        archive([member("a", LINK, "b"), member("a/out")], b"x"),
        archive([member("x"), member("y", HARD, "../../etc/passwd")], b"x"),
        block("x\0y", content=b"x", size=10**15) + END,
        archive([member("x"), member("x")], b"x"),
        archive([member("x")], b"x")[:700],
        b"no archive at all",
        b"",
    ],
    ids=range(9),
)
def test_nothing_of_a_hostile_archive_is_anywhere(tmp_path: Path, hostile: bytes) -> None:
    here = tmp_path / "here"
    here.mkdir()
    with pytest.raises(StepFailed, match="what the agent sent is not taken"):
        got(here / "target", hostile)
    assert list(tmp_path.rglob("*")) == [here]


def test_an_absolute_name_is_below_the_target(tmp_path: Path) -> None:
    got(tmp_path / "d", archive([member("/etc/passwd")], b"x"))
    assert (tmp_path / "d" / "etc" / "passwd").read_bytes() == b"x"


def test_links_that_lead_out_are_left_out_and_the_rest_is_there(tmp_path: Path) -> None:
    """So are pipes and devices: whoever reads them here would hang, or worse."""
    out = [("abs", "/etc/passwd"), ("up", "../x"), ("d/upper", "../../x"), ("odd\n\x1b[2J", "/")]
    members = [member(name, LINK, to) for name, to in out]
    members += [member("in", LINK, "file"), member("pipe", PIPE), member("device", DEVICE), member("file")]
    said = got(tmp_path / "t", archive(members, b"x"))
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["file", "in"]
    assert len(said["left_out"]) == 6
    assert said["left_out"][0] == "Link 'abs' leads outside of the target folder: to '/etc/passwd'"
    assert "\x1b" not in "".join(said["left_out"])


def test_permissions_that_give_rights_away_are_not_taken(tmp_path: Path) -> None:
    members = [member(".", tarfile.DIRTYPE, mode=0o7777), member("d", tarfile.DIRTYPE, mode=0o2),
               member("f", mode=0o6777)]  # fmt: skip
    got(tmp_path / "t", archive(members, b"x"))
    assert [(tmp_path / "t" / name).stat().st_mode & 0o7777 for name in (".", "d", "f")] == [0o755, 0o700, 0o755]


def test_so_many_that_are_left_out_are_named() -> None:
    left = LeftOut()
    for number in range(NAMED_MAX + 5):
        left.add(str(number))
    assert len(left.told) == NAMED_MAX + 1
    assert left.told[-1] == "and 5 more"


def test_a_folder_replaces_nothing(folder: Path, tmp_path: Path) -> None:
    """On neither side, with force either."""
    for there in ("file", "folder", "link"):
        target = tmp_path / "there"
        if there == "file":
            target.write_text("mine")
        elif there == "folder":
            target.mkdir()
        else:
            target.symlink_to("nowhere")
        begun = folder_steps.get("d", target, basedir="/b", force=True, packs=True)
        next(begun)
        with pytest.raises(StepFailed, match="a folder replaces nothing"):
            begun.send(OrderOutcome(rc=0, mode=FOLDER))
        target.rmdir() if there == "folder" else target.unlink()
    source = LocalFolder(folder)
    for modes in ({"x": FILE}, {"x": FOLDER, f"x/{folder.name}": FOLDER}):
        disk = Disk(**modes)
        with pytest.raises(StepFailed, match=r"is there already|is not replaced"):
            disk.does(folder_steps.put(source, "x", basedir="/b", own="/b/own"))
        assert disk.done == []
    disk = Disk(x=FOLDER)
    disk.does(folder_steps.put(source, "x", basedir="/b", own="/b/own"))
    (_, (_, args)) = disk.done
    assert args["command"][-1] == f"/b/x/{folder.name}"
    source.close()


@pytest.mark.parametrize("mode", [0o010644, 0o020644, 0o140644])
def test_what_has_no_end_is_no_file(tmp_path: Path, mode: int) -> None:
    """A pipe that nobody writes would be waited for, and /dev/zero fill the disk."""
    begun = folder_steps.get("f", tmp_path / "f", basedir="/b", force=False, packs=True)
    next(begun)
    with pytest.raises(StepFailed, match="it has no end"):
        begun.send(OrderOutcome(rc=0, mode=mode))
