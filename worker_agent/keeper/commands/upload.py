"""`uploadFile` and `uploadDirectory` (buildbot_worker/commands/transfer.py), as events that a writer is fed with.

The file goes through the journal, so that a replay fills a new writer. It is read no faster than it is stored.
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO, cast

from worker_agent.keeper.commands.command import RemoteCommand
from worker_agent.keeper.file_thread import Interrupted, open_file
from worker_agent.keeper.host import disk_full
from worker_agent.keeper.limits import FILE_DATA_MAX

#: Of what cannot be read in a folder so many are named.
NAMED_MAX = 20


class _Upload(RemoteCommand):
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
            await self.host.upload_room.wait_unless(self.stop)
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
            data = await self.files.call(file.read, length)
            if not data:
                return
            if self.remaining is not None:
                self.remaining -= len(data)
            self.report.write(data)

    def finished(self) -> None:
        if self.interrupted:
            self.rc = 1
        self.report.update("rc", self.rc)
        if self.stderr:
            self.report.stderr(self.stderr.encode("utf-8", "replace"))


class UploadFile(_Upload):
    """Buildbot's `uploadFile`: sends a file to the master in blocks."""

    reference = "WorkerFileUploadCommand"
    required = ("path", "blocksize")

    async def run(self) -> None:
        times: list[float] | None = None
        file: BinaryIO | None = None
        try:
            times, file = await self.files.call(self._open)
        except OSError:
            self.stderr = f"Cannot open file '{self.path}' for upload"
            self.rc = 1
        self.report.header(f"sending {self.path}\n")
        try:
            if file is not None:
                await self.send(file)
        except Interrupted:
            pass
        except OSError:
            self.rc = 1
            self.report.writer("close")
            self.finished()
            raise
        finally:
            if file is not None:
                self.files.close(file.close)
        self.report.writer("close")
        if times is not None and file is not None:
            self.report.writer("utime", times)
        self.finished()

    def _open(self) -> tuple[list[float] | None, BinaryIO]:
        """In a thread: the file, and its times if they are wanted."""
        times = None
        if self.args.get("keepstamp", False):
            times = [os.path.getatime(self.path), os.path.getmtime(self.path)]
        return times, open_file(self.path, "rb")


class UploadDirectory(_Upload):
    """Buildbot's `uploadDirectory`: sends a folder to the master as one archive."""

    reference = "WorkerDirectoryUploadCommand"
    required = ("path", "blocksize")

    def setup(self) -> None:
        super().setup()
        self.compress: str | None = self.args["compress"]

    async def run(self) -> None:
        archive: BinaryIO | None = None
        try:
            archive = await self.files.call(self._pack)
            self.report.header(f"sending {self.path}\n")
            await self.send(archive)
        except Interrupted:
            self.finished()
            return
        except OSError as error:
            self.stderr = f"Cannot read directory '{self.path}' for upload: {error}"
            self.rc = 1
            self.finished()
            if disk_full(error):
                raise
            return
        finally:
            if archive is not None:
                self.files.close(archive.close)
        # A part of an archive is not unpacked. Buildbot's worker asks for it, and the step never ends.
        if not self.interrupted and self.rc == 0:
            self.report.writer("unpack")
        self.finished()

    def _pack(self) -> BinaryIO:
        """In a thread: a large folder takes long, and what is in it may not answer."""
        import tarfile  # with `tempfile` 1.5 MB of memory that a waiting keeper does without
        import tempfile

        # Closed by whoever sends it; by its own end where nobody waits for it any more.
        archive = tempfile.TemporaryFile(prefix="buildbot-transfer-")  # noqa: SIM115
        mode: Any = {"bz2": "w|bz2", "gz": "w|gz"}.get(self.compress or "", "w")

        class Reading(tarfile.TarFile):
            """Goes on after what cannot be read, so that all of it can be named. The archive is worth nothing then."""

            def add(self, name: Any, *args: Any, **kwargs: Any) -> None:
                try:
                    super().add(name, *args, **kwargs)
                except OSError as error:
                    if disk_full(error):
                        raise
                    unread.append(
                        str(error) if error.filename else f"{error.strerror or 'it became shorter'}: '{name}'"
                    )

        unread: list[str] = []
        with Reading.open(mode=mode, fileobj=cast(Any, _Watched(archive, self))) as tar:
            tar.add(self.path, "")
        if unread:
            archive.close()
            more = [f"and {len(unread) - NAMED_MAX} more"] if len(unread) > NAMED_MAX else []
            raise OSError("; ".join([*unread[:NAMED_MAX], *more]))
        archive.seek(0)
        return archive


class _Watched:
    """A file for `tarfile` that takes no more when the command is interrupted."""

    def __init__(self, file: BinaryIO, command: RemoteCommand) -> None:
        self._file = file
        self._command = command

    def write(self, data: bytes) -> int:
        if self._command.interrupted:
            raise Interrupted
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()
