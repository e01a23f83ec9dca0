"""Names of builders, agents and folders that are legal and unusual."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pamqp import commands

from worker_agent.keepers.builddirs import BuildDirs
from worker_agent.link.amqp.properties import leave_names_to_the_broker
from worker_agent.program.settings import check_url, default_state

NAMES = [
    "b" * 255,
    "é" * 127,
    ".hidden",
    ".last-used",
    "last-used-0",
    "removing-0",
    "slot-0",
    "100%",
    "a b",
    "-rf",
    "*",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_legal_folder_is_a_build_directory(name: str, tmp_path: Path) -> None:
    """Taken, protected while in use, remembered by its last use, and removed when it is the oldest."""
    dirs = BuildDirs(tmp_path, keep_free=1, free=lambda _: int(not (tmp_path / "m" / "slot-0" / name).exists()))
    path = dirs.take("m", 0, name)
    assert os.path.isdir(path)
    assert dirs.make_room() == []
    dirs.give_back("m", 0, name)
    other = dirs.take("m", 0, "other")
    os.utime(tmp_path / "m" / "last-used-0" / "other", (9e9, 9e9))
    dirs.give_back("m", 0, "other")
    assert dirs.make_room() == [path]
    assert not os.path.exists(path)
    assert os.path.isdir(other)
    assert not list((tmp_path / "m" / "removing-0").iterdir())


def test_all_of_them_at_once(tmp_path: Path) -> None:
    """None is in another's way."""
    dirs = BuildDirs(tmp_path, keep_free=1, free=lambda _: 0)
    for name in NAMES:
        dirs.take("m", 0, name)
    for name in NAMES:
        dirs.give_back("m", 0, name)
    assert sorted(os.path.basename(path) for path in dirs.make_room()) == sorted(NAMES)


def test_a_mark_that_cannot_be_written_ends_no_build(tmp_path: Path) -> None:
    """It is there for the cache only."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "last-used-0").write_text("in the way")
    assert os.path.isdir(BuildDirs(tmp_path, keep_free=1).take("m", 0, "b"))


def test_a_pipe_in_the_place_of_a_mark_keeps_nobody_waiting(tmp_path: Path) -> None:
    """A build may put one there; whoever opens it waits for somebody who reads."""
    dirs = BuildDirs(tmp_path, keep_free=1)
    dirs.take("m", 0, "b")
    mark = tmp_path / "m" / "last-used-0" / "b"
    mark.unlink()
    os.mkfifo(mark)
    os.utime(mark, (1, 1))
    dirs.take("m", 0, "b")
    assert mark.stat().st_mtime > 1


def test_links_that_lead_nowhere_keep_no_directory_from_being_removed(tmp_path: Path) -> None:
    """Round in a circle, or to what is not there: for a master's folder, a slot's and a build directory."""
    dirs = BuildDirs(tmp_path, keep_free=1, free=lambda _: 0)
    path = dirs.take("m", 0, "b")
    dirs.give_back("m", 0, "b")
    for folder in (tmp_path, tmp_path / "m", tmp_path / "m" / "slot-0"):
        for name, target in (("slot-loop", "slot-loop"), ("slot-lost", "nowhere")):
            (folder / name).symlink_to(target)
    assert dirs.make_room() == [path]
    assert dirs.make_room() == []


@pytest.mark.parametrize("queue", ["cap.gtk:ge:3+python2.3", "cap.a=b"])
def test_the_broker_judges_the_name_of_a_queue(queue: str) -> None:
    """pamqp 3, which Python 3.10 has, lets no + pass: an agent had no link while there was a column of two tools."""
    leave_names_to_the_broker()
    assert commands.Queue.Declare(queue=queue).queue == commands.Basic.Consume(queue=queue).queue == queue


def test_agents_of_different_names_have_different_state_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those whose names differ in what a folder's name had better not hold."""
    names = ["a", "é1", "è1", ".a", "..", ".", "a/b", "a_b", "a:b", "x" * 128, "é" * 128]
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    folders = {default_state(name) for name in names}
    assert len(folders) == len(names)
    assert {folder.parent for folder in folders} == {Path("/s/worker-agent")}
    assert max(len(os.fsencode(folder.name)) for folder in folders) <= 255


def test_a_broker_user_too_long_for_a_routing_key_is_told_at_the_start() -> None:
    """With the limit, before the broker closes a connection for it."""
    check_url(f"amqp://{'u' * 119}:p@h/")
    with pytest.raises(ValueError, match="119"):
        check_url(f"amqp://{'u' * 120}:p@h/")
    with pytest.raises(ValueError, match="119"):
        check_url(f"amqp://{'%C3%A9' * 30}:p@h/")


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"STATE_DIRECTORY": "/d:/e", "XDG_STATE_HOME": "/s", "HOME": "/h"}, "/d"),
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/worker-agent/a"),
        ({"HOME": "/h"}, "/h/.local/state/worker-agent/a"),
    ],
)
def test_the_folder_of_an_agents_state(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], folder: str) -> None:
    """systemd's first, then the user's own; its identity is there, so it stays where it is."""
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert default_state("a") == Path(folder)
