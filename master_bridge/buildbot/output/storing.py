"""Brings a command's output to those who read it and into its logs, as `RemoteCommand.remoteUpdate` does.

Three things differ. A long line is cut where it is stored, since Buildbot's database truncates it; those who read (what
a step collects, log observers) have it whole. And large pieces take one quick pass: Buildbot puts its stream letter
before each line by a regular expression, 12 ms a MiB of lines of 100 bytes, a quarter of what the master needs for such
a log; by `str.replace` it is 2 ms. And what goes into a log file's log is not kept in the command as well.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from buildbot.process import metrics
from buildbot.process.log import StreamLog
from buildbot.process.remotecommand import RemoteCommand
from twisted.internet import defer

from master_bridge.buildbot.output.lines import cut_marked, has_long_line
from master_bridge.buildbot.output.logs import OUTPUT

#: Characters from which on a piece is marked here.
LARGE = 16 * 1024
#: Streams of a command's own log by their letters in Buildbot's table `logchunks`.
_LETTERS = {"stdout": "o", "stderr": "e"}
#: What a command must not have changed, or its own way is gone.
_METHODS = ("remoteUpdate", "add_stdout_lines", "add_stderr_lines")


def update(command: RemoteCommand, key: str, value: Any) -> defer.Deferred[Any]:
    """`command.remoteUpdate(key, value, False)`; output is whole lines, of which the last may lack its line end.

    That one gets a line end in the log and for observers, not in what the command collects. (`remoteUpdate`, with True
    as its last argument, means to do so, but then its log has no line end either and refuses the line.)
    """
    if key not in OUTPUT:
        return command.remoteUpdate(key, value, False)
    lines = value[1] if key == "log" else value
    unfinished = not lines.endswith("\n")
    if unfinished:
        lines += "\n"
    if key in _LETTERS and (unfinished or len(lines) >= LARGE) and _is_usual(command):
        return _store(command, key, lines, unfinished)
    if has_long_line(lines):
        _cut_in_log(command, _log_name(command, key if key != "log" else f"log:{value[0]}"))
    if key == "log":
        return _add_to_log_file(command, value[0], lines)
    return command.remoteUpdate(key, lines, False)


@defer.inlineCallbacks
def _add_to_log_file(command: RemoteCommand, name: str, lines: str) -> Any:
    yield command.remoteUpdate("log", (name, lines), False)
    # where Buildbot keeps each piece too, for as long as the command is there: 100 MB of a report, and nobody reads it
    command.updates.pop("log", None)


def is_read(command: RemoteCommand, stream: str) -> bool:
    """Does a step collect this stream, or an observer listen to its log? `stream`: as `CommandLog` names it."""
    if not _is_usual(command):
        return True  # it may do anything with it
    if (stream == "stdout" and command.collectStdout) or (stream == "stderr" and command.collectStderr):
        return True
    name = _log_name(command, stream)
    if name in command.delayedLogs:  # its observers come when it is made
        return True
    log = command.logs.get(name)
    return bool(log is not None and log.subPoint.subscriptions)


def _log_name(command: RemoteCommand, stream: str) -> Any:
    return stream.removeprefix("log:") if stream.startswith("log:") else command.stdioLogName


def _cut_in_log(command: RemoteCommand, name: Any) -> None:
    """From now on this log cuts its long lines itself, on their way into the database."""
    if name in command.delayedLogs:
        activate, close = command.delayedLogs[name]
        command.delayedLogs[name] = (partial(_activate_cutting, activate), close)
    elif name in command.logs:
        _make_cutting(command.logs[name])


async def _activate_cutting(activate: Any, command: RemoteCommand) -> Any:
    log = await activate(command)
    _make_cutting(log)
    return log


def _make_cutting(log: Any) -> None:
    if isinstance(log, StreamLog) and "addRawLines" not in vars(log):
        raw = log.addRawLines
        log.addRawLines = lambda lines: raw(cut_marked(lines))


def marked(letter: str, lines: str) -> str:
    """Whole lines as a stream log keeps them: each with its stream's letter before it."""
    return letter + lines[:-1].replace("\n", f"\n{letter}") + "\n"


def _is_usual(command: RemoteCommand) -> bool:
    own = all(getattr(type(command), name, None) is getattr(RemoteCommand, name) for name in _METHODS)
    return own and not command.debug


@metrics.countMethod("RemoteCommand.remoteUpdate()")
@defer.inlineCallbacks
def _store(command: RemoteCommand, key: str, lines: str, unfinished: bool) -> Any:
    if command.step is not None and command.step.build is not None:
        lines = command.step.build.properties.cleanupTextFromSecrets(lines)
    yield command.loglock.acquire()
    try:
        printed = lines[:-1] if unfinished else lines
        if key == "stdout" and command.collectStdout:
            command.stdout += printed
        elif key == "stderr" and command.collectStderr:
            command.stderr += printed
        log = command.logs.get(command.stdioLogName) if command.stdioLogName is not None else None
        if log is None:
            return
        if type(log) is StreamLog:
            log.subPoint.deliver(_LETTERS[key], lines)
            yield log.addRawLines(cut_marked(marked(_LETTERS[key], lines)))
        else:
            yield getattr(log, f"add_{key}_lines")(lines)
    finally:
        command.loglock.release()
