"""The journal's files: what is written is read, whatever happens to the writer."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.messages import Event
from tests.generated import examples
from worker_agent.keeper.journal.segments import segments
from worker_agent.keeper.journal.writer import Journal, JournalFull
from worker_agent.keepers.journal_reader import HANDLES_MAX, JournalFiles

SESSION = "s"
GIB = 1 << 30


def folder_of(state: Path, session: str = SESSION) -> Path:
    folder = state / "sessions" / session
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Iterator[JournalFiles]:
    with closing(JournalFiles(tmp_path)) as made:
        yield made


def writer(state: Path, segment_size: int = 4096, spool_max: int = GIB, journal_max: int = GIB) -> Journal:
    return Journal(str(folder_of(state)), spool_max=spool_max, journal_max=journal_max, segment_size=segment_size)


def test_events_are_read_as_they_were_written(tmp_path: Path, files: JournalFiles) -> None:
    """All fields, and data as raw bytes."""
    made = writer(tmp_path)
    made.append(1, "started", {"name": "shell", "digest": "d"})
    made.append(1, "log", "name ☃", bytes(range(256)))
    made.append(1, "completed", None, interrupted="why", infrastructure="disk")

    assert files.read(SESSION, 1) == Event(
        session=SESSION, seq=1, n=1, kind="started", value={"name": "shell", "digest": "d"}
    )
    assert files.read(SESSION, 2) == Event(
        session=SESSION, seq=2, n=1, kind="log", value="name ☃", data=bytes(range(256))
    )
    assert files.read(SESSION, 3) == Event(
        session=SESSION, seq=3, n=1, kind="completed", interrupted="why", infrastructure="disk"
    )
    assert files.read(SESSION, 4) is None
    assert files.read(SESSION, 0) is None
    assert files.last_seq(SESSION) == 3
    assert files.last_seq("other") == 0
    assert files.read("other", 1) is None


@settings(max_examples=examples(30), deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=120),
    order=st.lists(st.integers(1, 121), max_size=200),
)
def test_any_order_of_reading_gives_the_same_events(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], order: list[int]
) -> None:
    """Rewinds, jumps and reading at the end, over many segments, while it is written."""
    state = tmp_path_factory.mktemp("state")
    made = writer(state)
    files = JournalFiles(state)
    wanted = iter(order)
    for seq, size in enumerate(sizes, start=1):
        made.append(seq, "stdout", None, b"%d " % seq * size)
        ask = next(wanted, seq)
        event = files.read(SESSION, ask)
        assert (event is not None) == (ask <= seq)
        assert files.last_seq(SESSION) == seq
    for ask in [*wanted, *range(1, len(sizes) + 1)]:
        event = files.read(SESSION, ask)
        assert (event is None) == (ask > len(sizes))
        assert event is None or (event.seq, event.data) == (ask, b"%d " % ask * sizes[ask - 1])
    made.close()
    files.close()


@pytest.mark.parametrize("cut", [1, 5, 11, 12, 40])
def test_a_torn_tail_is_not_an_event(tmp_path: Path, files: JournalFiles, cut: int) -> None:
    """A writer killed in mid-record: what was whole is read, a new writer goes on after it."""
    made = writer(tmp_path)
    made.append(1, "stdout", None, b"whole")
    made.append(1, "stdout", None, b"torn" * 20)
    _, path = segments(folder_of(tmp_path))[0]
    os.truncate(path, os.path.getsize(path) - cut)
    assert files.last_seq(SESSION) == 1
    assert files.read(SESSION, 2) is None

    again = writer(tmp_path)
    again.append(1, "stdout", None, b"next")

    event = files.read(SESSION, 2)
    assert event is not None
    assert event.data == b"next"
    assert files.last_seq(SESSION) == 2


def test_damage_in_the_tail_is_found_by_its_checksum(tmp_path: Path, files: JournalFiles) -> None:
    """Bytes that were never written (a machine that lost power) do not become an event."""
    made = writer(tmp_path)
    made.append(1, "stdout", None, b"x" * 100)
    path = Path(segments(folder_of(tmp_path))[0][1])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    assert files.read(SESSION, 1) is None


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_a_torn_tail_of_a_trusted_journal_is_not_read(tmp_path: Path, files: JournalFiles, cut: int) -> None:
    """A keeper that was killed while it wrote leaves a record that is too short, which no checksum has to tell."""
    made = writer(tmp_path)
    made.append(1, "stdout", None, b"first")
    made.append(1, "stdout", None, b"second")
    path = Path(segments(folder_of(tmp_path))[0][1])
    path.write_bytes(path.read_bytes()[:-cut])
    files.trust(SESSION)

    event = files.read(SESSION, 1)
    assert event is not None
    assert event.data == b"first"
    assert files.read(SESSION, 2) is None


def test_trust_ends_with_the_session(tmp_path: Path, files: JournalFiles) -> None:
    """A journal found after a power cut is checked, also one whose session was trusted under the same name."""
    made = writer(tmp_path)
    made.append(1, "stdout", None, b"as it was written")
    path = Path(segments(folder_of(tmp_path))[0][1])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    files.trust(SESSION)
    assert files.read(SESSION, 1) is not None

    files.forget(SESSION)

    assert files.read(SESSION, 1) is None


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, files: JournalFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is refused as a whole, also when some of its bytes went in; later ones are fine."""
    made = writer(tmp_path)
    made.append(1, "stdout", None, b"first")
    room = 50

    def write(fd: int, parts: list[memoryview]) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = os.write(fd, b"".join(parts)[:room])
        room -= written
        return written

    with monkeypatch.context() as patched:
        patched.setattr(os, "writev", write)
        with pytest.raises(JournalFull, match="No space left"):
            made.append(1, "stdout", None, b"second" * 100)
        assert files.read(SESSION, 2) is None

    assert made.append(1, "stdout", None, b"third") == 2
    event = files.read(SESSION, 2)
    assert event is not None
    assert event.data == b"third"


def test_stored_segments_go_when_the_journal_reaches_its_bound(tmp_path: Path, files: JournalFiles) -> None:
    """Oldest first, only stored ones, and a reader that comes late is told that they are gone."""
    made = writer(tmp_path, segment_size=1000, journal_max=5000)
    for _ in range(20):
        made.append(1, "stdout", None, b"x" * 500)
    assert files.read(SESSION, 1) is not None
    assert total(tmp_path) > 5000, "nothing is stored, so nothing may go"

    made.trim(12)

    assert total(tmp_path) <= 6000
    with closing(JournalFiles(tmp_path)) as late:
        assert late.read(SESSION, 1) is None
    assert files.read(SESSION, 13) is not None
    assert files.last_seq(SESSION) == 20


def test_unstored_bytes_are_counted_and_bounded(tmp_path: Path) -> None:
    """`crowded` past the bound, and not any more when Buildbot has stored."""
    made = writer(tmp_path, segment_size=1 << 20, spool_max=1 << 20)
    while not made.crowded:
        seq = made.append(1, "stdout", None, b"x" * 1000)
    assert 1 << 20 < made.unstored < (1 << 20) + 2000

    made.trim(seq // 2)
    assert made.unstored < (1 << 19) + 70_000
    assert not made.crowded
    made.trim(seq)
    assert made.unstored == 0


def test_many_small_events_do_not_make_the_count_large(tmp_path: Path) -> None:
    """The count of what is stored grows with the bytes, not with the number of events."""
    made = writer(tmp_path, segment_size=1 << 24)
    for _ in range(5000):
        made.append(1, "stdout", None, b"x")

    assert len(made._groups) < 10


def test_open_files_are_bounded(tmp_path: Path, files: JournalFiles) -> None:
    """However many sessions are read, a bounded number of files is open; and `forget` closes a session's."""
    for number in range(HANDLES_MAX + 20):
        session = f"s{number}"
        made = Journal(str(folder_of(tmp_path, session)), spool_max=GIB, journal_max=GIB)
        made.append(1, "stdout", None, b"x")
        made.close()
        assert files.read(session, 1) is not None

    assert len(files._handles) == HANDLES_MAX
    assert files.read("s0", 1) is not None
    files.forget("s0")
    assert not [path for path in files._handles if Path(path).parent.name == "s0"]


def test_the_files_are_the_owners_only(tmp_path: Path) -> None:
    made = writer(tmp_path)
    made.append(1, "stdout", None, b"x")

    assert {path.stat().st_mode & 0o777 for path in folder_of(tmp_path).iterdir()} == {0o600}


def total(state: Path) -> int:
    return sum(os.path.getsize(path) for _, path in segments(folder_of(state)))
