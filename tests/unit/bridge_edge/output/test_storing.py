"""Large pieces of output are stored as Buildbot's own `remoteUpdate` stores them."""

from __future__ import annotations

import types
from typing import Any

import pytest
from buildbot.process.log import Log, StreamLog
from buildbot.process.remotecommand import RemoteCommand
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import defer

from master_bridge.buildbot.output import storing
from master_bridge.buildbot.output.storing import LARGE, marked


class Stage:
    """A real RemoteCommand with a real log; `rows` is what would go into the database, `heard` what observers hear."""

    def __init__(self, command: type[RemoteCommand] = RemoteCommand, **options: Any) -> None:
        self.rows: list[str] = []
        self.heard: list[tuple[str | None, str]] = []
        self.under_way: list[defer.Deferred[None]] = []
        self.log = Log.new(
            types.SimpleNamespace(
                data=types.SimpleNamespace(updates=types.SimpleNamespace(appendLog=self._append)), db=None
            ),
            "stdio",
            "s",
            1,
            "utf-8",
        )
        self.log.subscribe(lambda stream, lines: self.heard.append((stream, lines)))
        self.command = command("shell", {}, **options)
        self.command.logs = {"stdio": self.log}
        self.command.step = types.SimpleNamespace(
            build=types.SimpleNamespace(
                properties=types.SimpleNamespace(cleanupTextFromSecrets=lambda text: text.replace("hunter2", "<pw>"))
            )
        )

    def _append(self, _logid: int, lines: str) -> defer.Deferred[None]:
        self.rows.append(lines)
        self.under_way.append(defer.Deferred())
        return self.under_way[-1]

    @property
    def kept(self) -> tuple[Any, ...]:
        return self.rows, self.heard, self.command.stdout, self.command.stderr


def both(key: str, lines: str, **options: Any) -> tuple[Stage, Stage]:
    """Buildbot's way and ours, each with its piece on its way into the database."""
    theirs, ours = Stage(**options), Stage(**options)
    theirs.command.remoteUpdate(key, lines, False)
    storing.update(ours.command, key, lines)
    return theirs, ours


LINES = "a line\n\nhunter2 \x0b\x85\u2028 é\n" * (LARGE // 16)


@given(st.text(alphabet="a\n\r\x0b\x85\u2028é", max_size=30).map(lambda text: text + "\n"), st.sampled_from("oeh"))
def test_lines_are_marked_as_buildbots_log_marks_them(lines: str, letter: str) -> None:
    """The letter stands before each line, empty ones too, and nowhere else."""
    stage = Stage()
    stage.log._on_whole_lines(letter, lines)
    assert [marked(letter, lines)] == stage.rows


@pytest.mark.parametrize("key", ["stdout", "stderr"])
@pytest.mark.parametrize("collect", [False, True])
def test_a_large_piece_ends_up_as_buildbots_own_way_leaves_it(key: str, collect: bool) -> None:
    """Rows, what observers hear, and what the command collects: the same, without secrets."""
    theirs, ours = both(key, LINES, collectStdout=collect, collectStderr=collect)
    assert ours.rows
    assert ours.kept == theirs.kept
    assert "hunter2" not in ours.rows[0]


def test_a_log_of_another_kind_marks_its_lines_itself() -> None:
    """A subclass of Buildbot's log is given the lines as ever."""
    told: list[Any] = []

    class Own(StreamLog):
        def add_stderr_lines(self, text: str) -> defer.Deferred[None]:
            told.append(text)
            return defer.succeed(None)

    stage = Stage()
    stage.log.__class__ = Own
    storing.update(stage.command, "stderr", LINES)
    assert told == [LINES.replace("hunter2", "<pw>")]
    assert stage.rows == []


def test_no_log_is_no_error() -> None:
    """A command whose output nobody keeps is told it all the same."""
    stage = Stage(stdioLogName=None, collectStdout=True)
    assert storing.update(stage.command, "stdout", LINES).called
    assert stage.rows == []
    assert stage.command.stdout


def test_the_next_piece_waits_for_the_one_before() -> None:
    """Buildbot's lock of a command's logs is held until the piece is stored, and free again after an error."""
    stage = Stage()
    results = [storing.update(stage.command, "stdout", LINES), storing.update(stage.command, "stderr", LINES)]
    assert len(stage.rows) == 1
    stage.under_way[0].errback(OSError("no room"))
    assert len(stage.rows) == 2
    problems: list[Any] = []
    results[0].addErrback(problems.append)
    assert problems[0].check(OSError)
    stage.under_way[1].callback(None)
    assert results[1].called


@pytest.mark.parametrize("method", ["remoteUpdate", "add_stdout_lines"])
def test_a_command_with_a_way_of_its_own_keeps_it(method: str) -> None:
    """A subclass that overrides what Buildbot calls for output is called."""
    told: list[Any] = []

    def own(self: RemoteCommand, *arguments: Any) -> defer.Deferred[None]:
        told.append(arguments)
        return defer.succeed(None)

    stage = Stage(command=type("Own", (RemoteCommand,), {method: own}))
    storing.update(stage.command, "stdout", LINES)
    assert len(told) == 1
    assert stage.rows == []


@pytest.mark.parametrize("key", ["stdout", "stderr"])
@pytest.mark.parametrize("text", ["a\nb", "x" * 300_000, "x" * 300_000 + "\n", "a\n" + "é" * 300_000 + "\nb"])
def test_a_value_is_what_was_printed_and_the_log_has_all_of_it(key: str, text: str) -> None:
    """No line end in what is collected that was not printed; whole lines for observers; rows that are not truncated."""
    stage = Stage(collectStdout=True, collectStderr=True)
    storing.update(stage.command, key, text)
    assert getattr(stage.command, key) == text
    assert stage.heard == [(key[3], text if text.endswith("\n") else text + "\n")]
    rows = "".join(stage.rows).splitlines()
    assert all(row.startswith(key[3]) and len(row.encode()) < 64 * 1024 for row in rows)
    assert "".join(row[1:] for row in rows) == text.replace("\n", "")


@pytest.mark.parametrize("key", ["header", "log"])
@pytest.mark.parametrize("late", [False, True])
def test_other_logs_cut_long_lines_too(key: str, late: bool) -> None:
    """Headers, and the lines of a log file, also of one whose log is made with its first line."""
    stage = Stage()
    lines = "z" * 300_000 + "\n"
    if late:

        async def activate(command: RemoteCommand) -> Log:
            assert command is stage.command
            return stage.log

        stage.command.logs = {"stdio": stage.log} if key == "header" else {}
        stage.command.delayedLogs = {"extra": (activate, False)}
    else:
        stage.command.logs["extra"] = stage.log
    results = [storing.update(stage.command, key, ("extra", lines) if key == "log" else lines) for _ in range(2)]
    stage.under_way[0].callback(None)
    assert results[0].called
    assert stage.heard == [("h" if key == "header" else "o", lines)] * 2
    rows = "".join(stage.rows).splitlines()
    assert all(len(row) < 64 * 1024 for row in rows)
    assert "".join(row[1:] for row in rows) == "z" * 600_000


def test_what_is_no_output_goes_buildbots_way() -> None:
    stage = Stage()
    assert storing.update(stage.command, "files", ["a", "b"]).called
    assert dict(stage.command.updates) == {"files": [["a", "b"]]}
    assert stage.rows == []


def test_a_log_is_made_to_cut_its_lines_once() -> None:
    """Each piece with a long line would go through one more call than the one before."""
    stage = Stage()
    ways = []
    for _ in range(3):
        result = storing.update(stage.command, "header", "z" * 300_000 + "\n")
        stage.under_way.pop().callback(None)
        assert result.called
        ways.append(stage.log.addRawLines)
    assert ways[0] is ways[1] is ways[2]


def test_a_stream_is_read_by_those_who_collect_and_by_observers() -> None:
    """Of a command with a way of its own nobody knows; of a log that is not there yet neither."""
    stage = Stage(collectStderr=True)
    stage.log.subPoint.subscriptions.clear()
    assert not storing.is_read(stage.command, "stdout")
    assert storing.is_read(stage.command, "stderr")
    stage.command.collectStdout, stage.command.collectStderr = True, False
    assert (storing.is_read(stage.command, "stdout"), storing.is_read(stage.command, "stderr")) == (True, False)
    stage.command.collectStdout = False
    assert not storing.is_read(stage.command, "log:extra")
    stage.command.delayedLogs = {"extra": (lambda _command: stage.log, False)}
    assert storing.is_read(stage.command, "log:extra")
    stage.log.subscribe(lambda _stream, _lines: None)
    assert storing.is_read(stage.command, "stdout")
    own = type("Own", (RemoteCommand,), {"add_stdout_lines": lambda *_: defer.succeed(None)})
    assert storing.is_read(Stage(command=own).command, "stdout")


def test_a_log_file_is_not_kept_in_memory_beside_its_log() -> None:
    """As Buildbot's command does with each piece of it: a master grew by all of a report of 100 MB."""
    stage = Stage()
    stage.command.logs["report"] = stage.log
    stage.command.updates["files"].append(["what a step may ask for"])
    for _ in range(3):
        result = storing.update(stage.command, "log", ("report", "x" * 1000 + "\n"))
        stage.under_way.pop().callback(None)
        assert result.called
    assert len(stage.rows) == 3
    assert dict(stage.command.updates) == {"files": [["what a step may ask for"]]}
