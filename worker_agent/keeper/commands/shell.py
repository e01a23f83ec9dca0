"""`shell`: run a program (buildbot_worker/commands/shell.py)."""

from __future__ import annotations

from json.encoder import encode_basestring

from worker_agent.keeper.commands.command import RemoteCommand
from worker_agent.keeper.limits import LOG_NAME_MAX
from worker_agent.keeper.processes.process import ProcessOptions


class Shell(RemoteCommand):
    """Buildbot's `shell`: runs a command in `workdir`, with its output, log files and time limits."""

    reference = "WorkerShellCommand"
    required = ("workdir", "command")

    def setup(self) -> None:
        for name in self.args.get("logfiles") or {}:
            size = len(encode_basestring(name).encode("utf-8", "replace"))
            if size > LOG_NAME_MAX:
                raise ValueError(
                    f"the name of a log file is {size} bytes long, more than {LOG_NAME_MAX}: {name[:50]!r} …"
                )

    async def run(self) -> None:
        args = self.args
        options = ProcessOptions(
            env=args.get("env"),
            want_stdout=args.get("want_stdout", True),
            want_stderr=args.get("want_stderr", True),
            timeout=args.get("timeout"),
            max_time=args.get("maxTime"),
            max_lines=args.get("max_lines"),
            sigterm_time=args.get("sigtermTime"),
            interrupt_signal=args.get("interruptSignal") or "KILL",
            initial_stdin=args.get("initial_stdin"),
            use_pty=args.get("usePTY", False),
            log_environ=args.get("logEnviron", True),
            logfiles=args.get("logfiles") or {},
        )
        await self.execute(args["command"], args["workdir"], options)
