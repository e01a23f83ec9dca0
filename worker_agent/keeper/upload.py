"""`uploadFile` and `uploadDirectory` (buildbot_worker/commands/transfer.py), as events that a writer is fed with.

The file goes through the journal, so that a replay fills a new writer. It is read no faster than it is stored.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, BinaryIO

from worker_agent.keeper.command import Command
from worker_agent.keeper.host import disk_full
from worker_agent.keeper.limits import FILE_DATA_MAX

if TYPE_CHECKING:
    import tarfile


class _Interrupted(Exception):
    """Packing was interrupted."""


class _Upload(Command):
    def setup(self) -> None:
        self.path: str = self.args["path"]
        self.remaining: int | None = self.args["maxsize"]
        self.blocksize: int = self.args["blocksize"]
        self.stderr: str | None = None
        self.rc = 0

    async def send(self, file: BinaryIO) -> None:
        """The file's bytes, up to `maxsize`, as `write` events.

        `blocksize` is Buildbot's size of one round trip. There are none here, so events are as large as they may be.
        """
        while not self.interrupted:
            await self.room()
            if self.interrupted:
                return
            length = FILE_DATA_MAX
            if self.remaining is not None:
                length = min(length, self.remaining)
            if length <= 0:
                if self.stderr is None:
                    self.stderr = f"Maximum filesize reached, truncating file '{self.path}'"
                    self.rc = 1
                return
            data = file.read(length)
            if not data:
                return
            if self.remaining is not None:
                self.remaining -= len(data)
            self.report.write(data)
            await asyncio.sleep(0)  # let interrupts in, and what else runs

    async def room(self) -> None:
        """Until there is room in the journal, or an interrupt."""
        if self.host.room.free:
            return
        waiting = [asyncio.ensure_future(self.host.room.wait()), asyncio.ensure_future(self.stop.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def finished(self) -> None:
        if self.interrupted:
            self.rc = 1
        self.report.update("rc", self.rc)
        if self.stderr:
            self.report.stderr(self.stderr.encode("utf-8", "replace"))


class UploadFile(_Upload):
    reference = "WorkerFileUploadCommand"
    required = ("path", "blocksize")

    async def run(self) -> None:
        times: list[float] | None = None
        file: BinaryIO | None = None
        try:
            if self.args.get("keepstamp", False):
                times = [os.path.getatime(self.path), os.path.getmtime(self.path)]
            file = open(self.path, "rb")  # noqa: SIM115  # closed below, after the header has been told
        except OSError:
            self.stderr = f"Cannot open file '{self.path}' for upload"
            self.rc = 1
        self.report.header(f"sending {self.path}\n")
        try:
            if file is not None:
                with file:
                    await self.send(file)
        except OSError:
            self.rc = 1
            self.report.writer("close")
            self.finished()
            raise
        self.report.writer("close")
        if times is not None and file is not None:
            self.report.writer("utime", times)
        self.finished()


class UploadDirectory(_Upload):
    reference = "WorkerDirectoryUploadCommand"
    required = ("path", "blocksize")

    def setup(self) -> None:
        super().setup()
        self.compress: str | None = self.args["compress"]

    async def run(self) -> None:
        import tempfile  # with `tarfile` below 1.5 MB of memory that a waiting keeper does without

        with tempfile.TemporaryFile(prefix="buildbot-transfer-") as archive:
            try:
                await asyncio.to_thread(self._pack, archive)
            except _Interrupted:
                self.finished()
                return
            except OSError as error:
                self.stderr = f"Cannot read directory '{self.path}' for upload: {error}"
                self.rc = 1
                self.finished()
                if disk_full(error):
                    raise
                return
            archive.seek(0)
            self.report.header(f"sending {self.path}\n")
            await self.send(archive)
        # A part of an archive is not unpacked. Buildbot's worker asks for it, and the step never ends.
        if not self.interrupted and self.rc == 0:
            self.report.writer("unpack")
        self.finished()

    def _pack(self, archive: BinaryIO) -> None:
        """In a thread: a large folder takes long."""
        import tarfile

        def check(member: tarfile.TarInfo) -> tarfile.TarInfo:
            if self.interrupted:
                raise _Interrupted
            return member

        mode: Any = {"bz2": "w|bz2", "gz": "w|gz"}.get(self.compress or "", "w")
        with tarfile.open(mode=mode, fileobj=archive) as tar:
            tar.add(self.path, "", filter=check)
