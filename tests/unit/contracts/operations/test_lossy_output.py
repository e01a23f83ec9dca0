"""Standard error that nobody reads."""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from contracts.operations.lossy_output import LossyOutput

#: Says a line, then what happened, where a test can read it.
SAYS = """
import sys, os
from contracts.operations.lossy_output import open_standard_streams, replace_standard_error
open_standard_streams()
replace_standard_error()
print("line", file=sys.stderr)
print("caf\\udce9", file=sys.stderr)
with open(sys.argv[1], "w") as file:
    file.write(f"{os.fstat(2).st_rdev == os.stat('/dev/null').st_rdev} {file.fileno() > 2}")
"""


def test_what_a_reader_takes_is_written(tmp_path: Path) -> None:
    """To a file, long lines too, and text that is no UTF-8 with escapes."""
    with (tmp_path / "out").open("wb") as file:
        text = io.TextIOWrapper(
            cast(BinaryIO, LossyOutput(file.fileno())), "utf-8", "backslashreplace", write_through=True
        )
        text.write("x" * 20_000 + "\n")
        text.write("caf\udce9 \u00e9\n")
    assert (tmp_path / "out").read_bytes() == b"x" * 20_000 + b"\n" + b"caf\\udce9 \xc3\xa9\n"


def test_a_pipe_that_is_full_is_not_waited_for() -> None:
    """What does not fit is dropped; the next line that fits begins on a line of its own."""
    reading, writing = os.pipe()
    output = LossyOutput(writing)
    for number in range(200):
        assert output.write(b"%4d " % number + b"x" * 995 + b"\n") == 1001
    os.set_blocking(reading, False)
    taken = b"".join(iter(lambda: os.read(reading, 65536) if _more(reading) else b"", b""))
    output.write(b"after\n")
    lines = (taken + os.read(reading, 65536)).split(b"\n")
    assert lines[-2:] == [b"after", b""]
    assert all(len(line) == 1000 for line in lines[:-4])
    os.close(reading)
    output.write(b"nobody reads\n")
    os.close(writing)


def _more(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def test_threads_write_whole_lines_and_none_breaks() -> None:
    """As probes and the main thread do: one of both broke, and a round of probes with it."""
    reading, writing = os.pipe()
    output, count, told = LossyOutput(writing), 4, 3000
    taken: list[bytes] = []

    def read() -> None:
        while piece := os.read(reading, 65536):
            taken.append(piece)

    def write(letter: bytes) -> int:
        return sum(output.write(letter * 80 + b"\n") for _ in range(told))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with ThreadPoolExecutor(count) as threads:
            sizes = list(threads.map(write, (b"a", b"b", b"c", b"d")))
    finally:
        os.close(writing)
        reader.join()
        os.close(reading)
    assert sizes == [81 * told] * count
    lines = b"".join(taken).splitlines()
    assert lines
    assert {line for line in lines if len(line) == 80} <= {letter * 80 for letter in (b"a", b"b", b"c", b"d")}


def test_a_full_socket_is_not_waited_for_because_there_is_something_to_read() -> None:
    """As a terminal that is stopped (Ctrl-S) while somebody types."""
    ours, theirs = socket.socketpair()
    try:
        theirs.sendall(b"typed")
        ours.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 4096)
        ours.setblocking(True)
        output = LossyOutput(ours.fileno())
        writer = threading.Thread(target=output.write, args=(b"line\n" * 1000,), daemon=True)
        writer.start()
        writer.join(30)
        assert not writer.is_alive()
    finally:
        theirs.close()  # ends one that waits
        ours.close()


def test_a_socket_whose_other_end_is_gone() -> None:
    """As that to journald."""
    ours, theirs = socket.socketpair()
    theirs.close()
    assert LossyOutput(ours.fileno()).write(b"line\n") == 5
    ours.close()


@pytest.mark.parametrize("where", ["2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-", "2>/dev/full", "2>&1 | true"])
def test_a_program_whose_standard_error_takes_nothing(tmp_path: Path, where: str) -> None:
    """It goes on, and what it opens does not become its standard error."""
    out = tmp_path / "out"
    command = f'"$0" -c "$1" "$2" {where}; true'
    done = subprocess.run(["sh", "-c", command, sys.executable, SAYS, str(out)], check=False, timeout=60)
    assert done.returncode == 0
    assert out.read_text() == f"{'2>&-' in where} True"


#: Opens them, then says in a program that it executes which there are: what this one has may not be passed on.
EXECUTES = """
import os, sys
from contracts.operations.lossy_output import open_standard_streams
open_standard_streams()
assert None not in (sys.stdin, sys.stdout, sys.stderr)
there = "import os, sys; found = [str(n) for n in range(3) if os.path.exists(f'/proc/self/fd/{n}')]; "
there += "open(sys.argv[1], 'w').write(' '.join(found))"
os.execv(sys.executable, [sys.executable, "-c", there, sys.argv[1]])
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_descriptors_that_were_closed_are_there_for_what_is_executed_too(tmp_path: Path, closed: str) -> None:
    """Else the first socket that a keeper's fork server gets is its standard error."""
    subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", EXECUTES, str(tmp_path / "there")], check=True
    )
    assert (tmp_path / "there").read_text() == "0 1 2"


def test_a_line_that_was_written_in_part_is_ended_before_the_next() -> None:
    """A reader who comes back sees what there was room for, and whole lines from then on."""
    reading, writing = os.pipe()
    try:
        output = LossyOutput(writing)
        long = b"x" * 200_000 + b"\n"
        assert output.write(long) == len(long)
        assert output.write(b"dropped\n") == 8
        taken = os.read(reading, 1_000_000)
        assert set(taken) == {ord("x")}
        for line in (b"first\n", b"second\n"):
            assert output.write(line) == len(line)
        assert os.read(reading, 1_000_000) == b"\nfirst\nsecond\n"
        assert output.write(long) == len(long)
        os.read(reading, 1_000_000)
        assert output.write(long) == len(long)  # in part again: its own beginning is ended, too
        assert os.read(reading, 1_000_000)[:2] == b"\nx"
        output.write(b"third\n")
        assert os.read(reading, 1_000_000) == b"\nthird\n"
        # of one of which nothing was written there is nothing to end
        for _ in range(100):
            output.write(b"y" * (select.PIPE_BUF - 1) + b"\n")
        assert os.read(reading, 1_000_000).endswith(b"y\n")
        output.write(b"fourth\n")
        assert os.read(reading, 1_000_000) == b"fourth\n"
    finally:
        os.close(reading)
        os.close(writing)
