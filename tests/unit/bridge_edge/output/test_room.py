"""Room on the master's own disk: when there is too little, and who is told."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from master_bridge.buildbot.output.room import LEAST, RESERVE, Room, is_disk_full


class Disk:
    """A master whose disk has `free` bytes."""

    def __init__(self) -> None:
        self.free = 10 * RESERVE
        self.started = 0
        botmaster = SimpleNamespace(maybeStartBuildsForAllBuilders=self._start)
        self.room = Room(lambda: SimpleNamespace(basedir="/m", botmaster=botmaster), lambda folder: self.free)

    def _start(self) -> None:
        self.started += 1


def test_a_shortage_names_the_file_system_and_ends_with_some_room_more() -> None:
    """It does not flutter around its bound."""
    disk = Disk()
    assert disk.room.shortage() is None
    disk.free = RESERVE - 1
    shortage = disk.room.shortage()
    assert shortage is not None
    assert "63 MiB left on the file system of /m" in shortage.text
    assert shortage.writable
    disk.free = RESERVE + 1
    assert disk.room.shortage() is not None
    disk.free = 2 * RESERVE
    assert disk.room.shortage() is None


def test_without_room_for_a_builds_end_nothing_is_writable() -> None:
    """Such a build is not given up: Buildbot could not note it."""
    disk = Disk()
    disk.free = LEAST - 1
    shortage = disk.room.shortage()
    assert shortage is not None
    assert not shortage.writable


def test_builds_that_waited_are_started_when_there_is_room() -> None:
    """Once, though others asked for the shortage in between."""
    disk = Disk()
    disk.room.look()
    disk.free = 0
    disk.room.look()
    disk.room.look()
    disk.free = 10 * RESERVE
    assert disk.room.shortage() is None
    assert disk.started == 0
    disk.room.look()
    disk.room.look()
    assert disk.started == 1


def test_who_asks_often_is_answered_with_one_look_and_a_refusal_is_made_up_for() -> None:
    """A disk that was full between two looks only: a build that was refused then is looked for again."""
    disk = Disk()
    disk.free = 0
    assert disk.room.lately_short()
    disk.free = 10 * RESERVE
    assert disk.room.lately_short(), "the same look serves for a while"
    disk.room.look()
    assert disk.started == 1
    assert not disk.room.lately_short()
    disk.room.look()
    assert disk.started == 1


@pytest.mark.parametrize(
    ("problem", "full"),
    [
        (OSError(28, "No space left on device"), True),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full"), True),
        (RuntimeError("could not extend file: No space left on device"), True),
        (OSError(13, "Permission denied"), False),
        (RuntimeError("database is locked"), False),
    ],
)
def test_a_full_disk_is_known_by_what_the_database_says(problem: Exception, full: bool) -> None:
    """Here, or on the database's machine."""
    assert is_disk_full(problem) is full
