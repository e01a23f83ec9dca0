"""What all remote commands have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from worker_agent.keeper.file_thread import FileThread
from worker_agent.keeper.host import Host
from worker_agent.keeper.processes.process import ProcessOptions, RunProcess
from worker_agent.keeper.report import CommandReport


class RemoteCommand:
    """One remote command. Making one checks its arguments: ValueError, KeyError, as Buildbot's worker does."""

    #: the class in buildbot_worker: its name is in an error text
    reference: ClassVar[str]
    required: ClassVar[tuple[str, ...]] = ()
    #: the command's arguments as they came, and its digest
    asked: Mapping[str, Any]
    digest: str

    def __init__(self, host: Host, report: CommandReport, args: Mapping[str, Any]) -> None:
        missing = [name for name in self.required if name not in args]
        if missing:
            raise ValueError(f"{self.reference} is missing args: {', '.join(missing)}")
        self.host = host
        self.report = report
        self.args = args
        self.interrupted = False
        #: set by an interrupt, for what waits
        self.stop = asyncio.Event()
        self.process: RunProcess | None = None
        #: for every call of the file system
        self.files = FileThread()
        self.setup()

    def setup(self) -> None:
        """Take apart `args`; for arguments whose absence is an error."""

    async def run(self) -> None:
        """Do it. What it raises is told in `completed`; `Interrupted` may be raised by one that was interrupted."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """End as soon as possible; may come more than once."""
        self.interrupted = True
        self.stop.set()
        self.files.interrupt()
        if self.process is not None:
            self.process.kill("command interrupted")

    def status(self, key: str, value: Any) -> None:
        """An update that an interrupted command does not send any more."""
        if not self.interrupted:
            self.report.update(key, value)

    def failed(self, header: str, error: OSError, path: str) -> None:
        """The update of a command that the operating system refused."""
        if not self.interrupted:
            self.report.header(f"{header}: {error.strerror}: {path}")
            self.report.update("rc", error.errno)

    async def execute(self, command: Any, workdir: str, options: ProcessOptions) -> int:
        """Run one process to its end; an interrupt meanwhile is its interrupt."""
        self.process = RunProcess(self.host, self.report, self.files, command, workdir, options)
        try:
            return await self.process.run()
        finally:
            self.process = None
