"""`shell`: run a program (buildbot_worker/commands/shell.py)."""

from __future__ import annotations

from worker_agent.keeper.command import Command
from worker_agent.keeper.process import ProcessOptions


class Shell(Command):
    reference = "WorkerShellCommand"
    required = ("workdir", "command")

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
