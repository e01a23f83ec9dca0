"""Output is exact: any bytes, in the order written, none cut or dropped, in bounded memory and disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys

import psutil
import pytest

from contracts.messages import Event
from contracts.timing import EVENT_DATA_MAX
from tests.unit.keeper_processes.driving.harness import Driven, eventually, stream, update
from worker_agent.keeper.journal.segments import segments

MIB = 1024 * 1024


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(
    "data",
    [b"", b"no end of line", bytes(range(256)), b"\xff\xfe\xc3(", b"\0" * 1000, b"a\rb\rc\r\n\n", b"x" * 3 * MIB],
    ids=["nothing", "no newline", "all bytes", "invalid UTF-8", "NUL", "carriage returns", "a line of 3 MiB"],
)
async def test_any_bytes_arrive_as_written(driven: Driven, data: bytes) -> None:
    """The journal has exactly what the command wrote, on either stream."""
    await driven.open()
    driven.build.mkdir(exist_ok=True)
    (driven.build / "data").write_bytes(data)

    events = await driven.completed(driven.shell("cat ../data; cat ../data >&2"))

    assert stream(events, "stdout") == data
    assert stream(events, "stderr") == data
    assert all(len(event.data) <= EVENT_DATA_MAX for event in events)


async def test_stdout_and_stderr_keep_their_order(driven: Driven) -> None:
    """Lines that a program writes to one and the other, with time between, come in that order."""
    await driven.open()
    command = "for i in 1 2 3 4 5; do echo out$i; sleep 0.06; echo err$i >&2; sleep 0.06; done"

    events = await driven.completed(driven.shell(command))

    mixed = b"".join(event.data for event in events if event.kind in ("stdout", "stderr"))
    assert mixed == b"".join(b"out%d\nerr%d\n" % (i, i) for i in range(1, 6))


async def test_the_bytes_of_a_terminal_arrive(driven: Driven) -> None:
    """With a terminal both streams are one, and lines end as a terminal ends them."""
    await driven.open()

    events = await driven.completed(driven.shell("echo a; echo b >&2; test -t 0 && echo tty", usePTY=True))

    assert stream(events, "stdout") == b"a\r\nb\r\ntty\r\n"


async def test_output_is_seen_while_the_command_runs(driven: Driven) -> None:
    """The first line is in the journal long before the command ends."""
    await driven.open()
    n = driven.shell("echo early; while [ ! -e go ]; do sleep 0.02; done")

    await driven.output(b"early")
    (driven.build / "build/go").touch()

    assert update(await driven.completed(n), "rc") == 0


async def test_the_header_is_journalled_before_the_process_starts(driven: Driven) -> None:
    """It does not wait for more output: the master stores it while a short command runs."""
    await driven.open()

    look = f"grep -aq '.kind.:.header.' {driven.folder}/events.* && echo written"
    events = await driven.completed(driven.shell(look))

    assert stream(events, "stdout") == b"written\n"


async def test_a_hundred_megabytes_do_not_make_the_keeper_grow(driven: Driven) -> None:
    """All of it arrives, while the keeper's memory stays where it was."""
    await driven.open()
    await driven.run("shell", {"workdir": "build", "command": "true"})
    keeper = psutil.Process(driven.keeper.pid)
    before = most = keeper.memory_info().rss
    n = driven.shell(python("import os\nfor i in range(1600): os.write(1, bytes([i % 251]) * 65536)"))
    seen = hashlib.sha256()
    size = 0
    while True:
        event = await driven.next()
        if event.kind == "stdout":
            seen.update(event.data)
            size += len(event.data)
            driven.keeper.trim(event.seq)
        most = max(most, keeper.memory_info().rss)
        if event.kind == "completed" and event.n == n:
            break

    expected = hashlib.sha256()
    for i in range(1600):
        expected.update(bytes([i % 251]) * 65536)
    assert size == 1600 * 65536
    assert seen.digest() == expected.digest()
    assert most - before < 16 * MIB


async def test_what_nobody_stores_stops_the_command_not_the_machine(driven: Driven) -> None:
    """Past the spool's bound the pipes are not read until Buildbot has stored; nothing is lost."""
    await driven.open(spool_max=2 * MIB)
    n = driven.shell(python("import os\nfor i in range(128): os.write(1, bytes([i]) * 65536)\nos.write(2, b'done')"))
    await eventually(lambda: journal_size(driven) > 2 * MIB, "the bound to be reached")
    for _ in range(20):  # as often as it likes to be looked at, it stays near its bound
        await asyncio.sleep(0.02)
        assert journal_size(driven) < 3 * MIB

    events: list[Event] = []
    while not events or events[-1].kind != "completed":
        events.append(await driven.next())
        driven.keeper.trim(events[-1].seq)

    assert stream(events, "stdout") == b"".join(bytes([i]) * 65536 for i in range(128))
    assert stream(events, "stderr") == b"done"
    assert events[-1].n == n


async def test_waiting_for_room_is_not_silence(driven: Driven) -> None:
    """A command that cannot write because the spool is full has not been silent: its `timeout` waits, too."""
    await driven.open(spool_max=256 * 1024)
    n = driven.shell(python("import os\nfor i in range(64): os.write(1, bytes([i]) * 65536)"), timeout=0.5)
    await eventually(lambda: journal_size(driven) > 256 * 1024, "the bound to be reached")
    for _ in range(40):  # longer than the timeout
        await asyncio.sleep(0.02)

    while True:
        event = await driven.next()
        driven.keeper.trim(event.seq)
        if event.kind == "completed":
            break

    events = [driven.journal.read(driven.session, seq) for seq in range(1, event.seq + 1)]
    assert update([found for found in events if found], "rc") == 0
    assert event.n == n


async def test_the_journal_on_disk_is_bounded(driven: Driven) -> None:
    """Past its bound the oldest stored segments go; then the session cannot be replayed from its start, and says so."""
    await driven.open(journal_max=20 * MIB, spool_max=8 * MIB)  # or all of it may be there before any counts as stored
    n = driven.shell(python("import os\nfor i in range(640): os.write(1, bytes([i % 251]) * 65536)"))
    size = most = 0
    while True:
        event = await driven.next()
        size += len(event.data)
        driven.keeper.trim(event.seq)
        most = max(most, journal_size(driven))
        if event.kind == "completed" and event.n == n:
            break

    assert size > 640 * 65536
    assert most < 36 * MIB
    assert driven.journal.read(driven.session, 1) is None


async def test_a_file_with_follow_sends_what_was_added(driven: Driven) -> None:
    """Buildbot's worker loses what is written between the start and its first look; here nothing of it is lost."""
    await driven.open()
    (driven.build / "build").mkdir(parents=True)
    (driven.build / "build/log.txt").write_text("old\n")

    events = await driven.completed(
        driven.shell("echo new >> log.txt", logfiles={"log": {"filename": "log.txt", "follow": True}})
    )

    assert stream(events, "log") == b"new\n"
    assert {event.value for event in events if event.kind == "log"} == {"log"}


async def test_a_file_without_follow_is_sent_whole(driven: Driven) -> None:
    await driven.open()
    (driven.build / "build").mkdir(parents=True)
    (driven.build / "build/log.txt").write_text("old\n")

    events = await driven.completed(driven.shell("printf '\\377new' >> log.txt", logfiles={"log": "log.txt"}))

    assert stream(events, "log") == b"old\n\xffnew"


async def test_a_file_in_the_place_of_a_fifo_is_sent(driven: Driven) -> None:
    """An earlier command left the FIFO there; this one, like a battery's shard, makes its report anew."""
    await driven.open()
    (driven.build / "build").mkdir(parents=True)
    os.mkfifo(driven.build / "build/log.txt")

    # a FIFO is opened at once, and that ends a writer's wait for a reader
    script = "sh -c ': > log.txt'; rm log.txt; echo new > log.txt"
    events = await driven.completed(driven.shell(script, logfiles={"log": "log.txt"}))

    assert stream(events, "log") == b"new\n"


async def test_two_commands_run_side_by_side(driven: Driven) -> None:
    """Their events are told apart by their numbers."""
    await driven.open()
    first = driven.shell("echo one; while [ ! -e go ]; do sleep 0.02; done; echo one again")
    second = driven.shell("echo two; touch go")

    events: list[Event] = []
    while sum(event.kind == "completed" for event in events) < 2:
        events.append(await driven.next())

    assert stream([event for event in events if event.n == first], "stdout") == b"one\none again\n"
    assert stream([event for event in events if event.n == second], "stdout") == b"two\n"


async def test_the_agents_secrets_do_not_reach_a_command(driven: Driven) -> None:
    """Not in its environment, and not in that of the keeper, its parent, which it may read."""
    env = {**os.environ, "AMQP_URL": "amqp://u:very-secret@h", "WORKER_AGENT_AMQP_URL": "very-secret", "OTHER": "kept"}
    await driven.open(env)

    events = await driven.completed(driven.shell("env; tr '\\0' '\\n' < /proc/$PPID/environ"))

    said = b"".join(event.data for event in events)
    assert b"OTHER=kept" in said
    assert b"very-secret" not in said


def journal_size(driven: Driven) -> int:
    return sum(_size(path) for _, path in segments(driven.folder))


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:  # the keeper has dropped it since
        return 0
