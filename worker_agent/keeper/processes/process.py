"""One process of a command: its headers, its output, its time limits and its end.

What is told, in which words and in which order is Buildbot's worker's (buildbot_worker/runprocess.py): builds are
compared by it. How a process tree ends is ours: nothing of it is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker_agent.keeper.file_thread import FileThread, Interrupted
from worker_agent.keeper.host import AbandonChain, Host, MachineFailure
from worker_agent.keeper.processes.argv import CommandLine
from worker_agent.keeper.processes.belonging import MARK
from worker_agent.keeper.processes.ending import Ending
from worker_agent.keeper.processes.environment import build_environment
from worker_agent.keeper.processes.launch import Launched, launch
from worker_agent.keeper.processes.logfiles import LogFile
from worker_agent.keeper.processes.pipes import OutputPipes, write_and_close
from worker_agent.keeper.report import CommandReport

_LINE_END = re.compile(rb"\r\n|\r|\n")
#: Pipes are read this much longer after the tree is gone, in case something outside it holds them open.
_OUTPUT_WAIT = 1.0
#: The machine has no room for one more process or file: not the command's fault.
_MACHINE = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


@dataclass(frozen=True, kw_only=True)
class ProcessOptions:
    """As the arguments of Buildbot's `shell` command. Times are seconds."""

    env: Mapping[str, Any] | None = None
    want_stdout: bool = True
    want_stderr: bool = True
    #: tell `rc` and the signal that ended it; rmdir and cpdir tell theirs themselves
    send_rc: bool = True
    timeout: float | None = None
    max_time: float | None = None
    max_lines: int | None = None
    sigterm_time: float | None = None
    interrupt_signal: str = "KILL"
    initial_stdin: str | None = None
    use_pty: bool = False
    log_environ: bool = True
    logfiles: Mapping[str, Any] = field(default_factory=dict)


class RunProcess:
    """Runs `command` in `workdir`. Making one raises for bad arguments what Buildbot's does."""

    def __init__(
        self, host: Host, report: CommandReport, files: FileThread, command: Any, workdir: str, options: ProcessOptions
    ) -> None:
        self._host = host
        self._files = files
        self._report = report
        self._options = options
        self._workdir = workdir
        self._line = CommandLine.of(command, host.encoding)
        self._environ = build_environment(options.env, host.environ)
        stdin = options.initial_stdin
        self._stdin = stdin.encode(host.encoding) if stdin is not None else None
        assert options.use_pty in (True, False), (
            f"Unexpected usePTY argument value: {options.use_pty!r}. Expected boolean."
        )
        self._terminal = bool(options.use_pty)
        if self._stdin is not None:
            if self._terminal:
                report.header("WARNING: disabling usePTY for this command")
            self._terminal = False
        self._logfiles = []
        for name, value in options.logfiles.items():
            file, follow = (
                (value["filename"], value.get("follow", False)) if isinstance(value, dict) else (value, False)
            )
            self._logfiles.append(LogFile(name, os.path.join(workdir, file), follow, self._log))
        self._pipes: OutputPipes | None = None
        self._lines = 0
        self._deaf = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._ending: Ending | None = None
        self._killing: asyncio.Task[None] | None = None
        #: it was to be ended before it was started
        self._unwanted = False
        self._started = 0.0

    async def run(self) -> int:
        """Run it to its end and return its exit status, -1 for a signal.

        Raises OSError when there can be no such directory, `AbandonChain` when the process cannot start.
        """
        limit = min((seconds for seconds in (self._options.timeout, self._options.max_time) if seconds), default=None)
        self._started = time.time()
        try:
            refusal = await asyncio.wait_for(self._prepare(), limit)
            if self._unwanted:  # in the moment between the last look at the disk and the start
                raise Interrupted
            launched = self._begin(refusal)
            status = 1 if launched is None else await self._follow(launched)
        except asyncio.TimeoutError:
            return self._never_started(limit)
        finally:
            for logfile in self._logfiles:
                logfile.close()
        return self._finished(status)

    def _begin(self, refusal: OSError | None) -> Launched | None:
        """Tell what is to be started, and start it. None: there is no such program, which has been told."""
        try:
            if refusal is not None:
                raise refusal
            self._tell()
            self._report.flush()  # the master stores it while the process starts
            self._started = time.time()
            return self._launch()
        except Exception as error:
            self._report.stderr(f"error in RunProcess._startCommand ({error!s})\n".encode("utf-8", "replace"))
            self._report.stderr(traceback.format_exc().encode("utf-8", "replace"))
            if isinstance(error, MachineFailure):
                raise
            raise AbandonChain(-1, f"Got exception ({error!s})") from None

    async def _follow(self, launched: Launched) -> int:
        """Until it has ended and all of its output is read: its exit status."""
        exited, pipes = self._watch(launched)
        try:
            status = await exited
            await self._drain(pipes)
            for logfile in self._logfiles:
                await logfile.stop()
            if self._killing is not None:
                await self._killing
        finally:
            pipes.close()
            self._cancel_timers()
        return status

    def _watch(self, launched: Launched) -> tuple[asyncio.Future[int], OutputPipes]:
        """Its output, its time and its log files; the future is its exit status."""
        loop = asyncio.get_running_loop()
        self._ending = Ending(self._host, launched.pid, self._mark)
        exited = self._host.children.watch(launched.pid)
        streams = {launched.stdout: "stdout"}
        if launched.stderr is not None:
            streams[launched.stderr] = "stderr"
        pipes = self._pipes = OutputPipes(self._host.room, streams, heard=self._heard, turned=self._reset_timeout)
        if launched.stdin is not None:
            write_and_close(launched.stdin, self._stdin or b"")
        if self._options.timeout:
            self._timers["timeout"] = loop.call_later(self._options.timeout, self._timed_out)
        if self._options.max_time:
            self._timers["max_time"] = loop.call_later(self._options.max_time, self._max_time_over)
        for logfile in self._logfiles:
            logfile.start(self._host.room)
        return exited, pipes

    def kill(self, why: str) -> None:
        """End it and all its tree: politely if the options say so, then by SIGKILL. Tells `why` once."""
        if self._ending is None or self._pipes is None:
            self._unwanted = True
            return
        if self._killing is not None:
            return
        self._cancel_timers()
        self._report.header(f"\n{why}, attempting to kill\n")
        for logfile in self._logfiles:
            logfile.hurry()
        self._pipes.regardless = True
        self._killing = asyncio.ensure_future(self._kill(self._ending, self._pipes))

    async def _kill(self, ending: Ending, pipes: OutputPipes) -> None:
        await ending.end(self._options.sigterm_time, self._options.interrupt_signal)
        pipes.look()
        # What holds the pipes now is not of this tree: do not wait for it.
        asyncio.get_running_loop().call_later(_OUTPUT_WAIT, pipes.give_up)

    async def _prepare(self) -> OSError | None:
        """Touch all that the start touches, since that cannot be done in a thread; what Buildbot's tells at the start
        is returned."""
        await asyncio.gather(*(logfile.begin() for logfile in self._logfiles))
        return await self._files.call(self._reach)

    def _reach(self) -> OSError | None:
        """In a thread: make the directory, and look for the program."""
        if not os.path.exists(self._workdir):
            os.makedirs(self._workdir)
        try:
            if not os.path.isdir(self._workdir):
                os.makedirs(self._workdir)
            os.access(self._workdir, os.X_OK)
        except OSError as error:
            return error
        program = self._line.argv[0] if self._line.argv else b""
        here = os.path.dirname(program)
        folders = [""] if here else os.get_exec_path(self._environ)
        with contextlib.suppress(ValueError):  # a NUL where there can be none: the start will say so
            any(
                os.access(os.path.join(os.fsencode(os.path.join(self._workdir, folder)), program), os.X_OK)
                for folder in folders
            )
        return None

    def _never_started(self, limit: float | None) -> int:
        """The file system did not answer within the command's time."""
        options = self._options
        silent = limit == options.timeout
        self._report.update("failure_reason", "timeout_without_output" if silent else "timeout")
        self._report.header(
            f"\ncommand timed out: {limit} seconds {'without output' if silent else 'elapsed'} running "
            f"{self._line.shown}: not started, since the file system of {self._workdir} or of the program does not "
            "answer\n"
        )
        self._report.status, self._report.killed = -1, True
        if options.send_rc:
            self._report.update("rc", -1)
        self._report.header(f"elapsedTime={time.time() - self._started:0.6f}\n")
        return -1

    def _tell(self) -> None:
        options, header = self._options, self._report.header
        self._environ["PWD"] = os.path.abspath(self._workdir)
        header(self._line.display + "\n")
        where = f" in dir {self._workdir}"
        for name, seconds in (("timeout", options.timeout), ("maxTime", options.max_time)):
            if seconds:
                where += f" ({name} {seconds} {'sec' if seconds == 1 else 'secs'})"
        header(where + "\n")
        header(f" watching logfiles {dict(options.logfiles)}\n")
        header(f" argv: {self._line.shown}\n")
        if options.log_environ:
            header(" environment:\n" + "".join(f"  {name}={self._environ[name]}\n" for name in sorted(self._environ)))
        if self._stdin:
            header(f" writing {len(self._stdin)} bytes to stdin\n")
        header(f" using PTY: {self._terminal}\n")

    @property
    def _mark(self) -> str:
        return f"{self._host.session}/{self._report.n}"

    def _launch(self) -> Launched | None:
        """None: there is no such program, or it cannot be run; Buildbot's worker learns that in the forked child."""
        environ = {**self._environ, MARK: self._mark}
        try:
            self._host.children.guard.renew()
            return launch(self._line.argv, environ, self._workdir, terminal=self._terminal)
        except (OSError, ValueError) as error:  # ValueError: a NUL where there can be none
            if isinstance(error, OSError):
                if error.errno in _MACHINE:
                    raise MachineFailure(f"cannot start a process: {error.strerror}") from None
                if error.filename != self._workdir:  # that is named when it may not be entered
                    error.filename = self._tried(error)
            shown = self._line.shown_argv
            text = f"Upon execvpe {shown[0]!r} {shown} in environment id {id(environ)}\n:{traceback.format_exc()}"
            self._output("stderr", text.encode("utf-8", "replace"))
            return None

    def _tried(self, error: OSError) -> bytes:
        """The file that a search along PATH tells of: the last one tried, or the first that is there."""
        program = self._line.argv[0]
        if os.path.dirname(program):
            return program
        folders = [os.fsencode(folder) for folder in os.get_exec_path(self._environ)]
        tried = [os.path.join(folder, program) for folder in folders] or [program]
        if error.errno == errno.ENOENT:
            return tried[-1]
        return next((file for file in tried if os.path.exists(file)), tried[-1])

    def _heard(self, stream: str, data: bytes) -> None:
        self._output(stream, data)
        self._reset_timeout()

    def _output(self, stream: str, data: bytes) -> None:
        wanted = self._options.want_stdout if stream == "stdout" else self._options.want_stderr
        if not wanted or self._deaf:
            return
        limit = self._options.max_lines
        if limit is not None and self._killing is None:
            self._lines += len(_LINE_END.findall(data))
            if self._lines > limit:
                self._deaf = True
                self._report.update("failure_reason", "max_lines_failure")
                self.kill(
                    f"command exceeds max lines: {self._lines}/{limit} written/allowed running {self._line.shown}"
                )
        (self._report.stdout if stream == "stdout" else self._report.stderr)(data)

    def _log(self, name: str, data: bytes) -> None:
        self._report.log(name, data)
        self._reset_timeout()

    async def _drain(self, pipes: OutputPipes) -> None:
        """Until its output is read to the end and, if it is being killed, its tree is gone."""
        await pipes.ended()
        if self._killing is not None:
            await self._killing
            await pipes.ended()

    def _reset_timeout(self) -> None:
        """Time in which nobody reads its output does not count as silence."""
        timer = self._timers.pop("timeout", None)
        if timer is None:
            return
        timer.cancel()
        assert self._options.timeout is not None
        loop = asyncio.get_running_loop()
        delay = self._options.timeout
        self._timers["timeout"] = loop.call_later(delay, self._timed_out)

    def _timed_out(self) -> None:
        if self._pipes is not None and not self._pipes.reading:
            self._reset_timeout()
            return
        self._report.update("failure_reason", "timeout_without_output")
        self.kill(f"command timed out: {self._options.timeout} seconds without output running {self._line.shown}")

    def _max_time_over(self) -> None:
        self._report.update("failure_reason", "timeout")
        self.kill(f"command timed out: {self._options.max_time} seconds elapsed running {self._line.shown}")

    def _cancel_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _finished(self, status: int) -> int:
        report, options = self._report, self._options
        elapsed = time.time() - self._started
        report.status, report.killed = status, self._killing is not None
        if self._ending is not None and self._ending.stubborn:
            name = f"SIG{options.interrupt_signal}"
            report.header(f"{name} failed to kill process\n")
            if options.send_rc:
                report.header("using fake rc=-1\n")
                report.update("rc", -1)
            raise RuntimeError(f"{name} failed to kill process")
        rc = status
        if status < 0 or (self._killing is not None and status == 0):
            rc = -1
        if options.send_rc:
            if status < 0:
                report.header(f"process killed by signal {-status}\n")
            report.update("rc", rc)
        report.header(f"elapsedTime={elapsed:0.6f}\n")
        return rc
