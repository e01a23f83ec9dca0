"""`downloadFile` (buildbot_worker/commands/transfer.py): asks the bridge for ranges of the master's file.

The file appears whole or not at all: it is written beside its target and put in place at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from typing import BinaryIO

from contracts.digest import command_digest
from worker_agent.keeper.commands import beside
from worker_agent.keeper.commands.command import RemoteCommand
from worker_agent.keeper.file_thread import Interrupted, open_file
from worker_agent.keeper.limits import PULL_QUICK, PULL_REPEAT, PULL_SIZE, PULLS, PULLS_QUICK


class DownloadFile(RemoteCommand):
    """Buildbot's `downloadFile`: writes what the master sends to a file."""

    reference = "WorkerFileDownloadCommand"
    required = ("path", "blocksize")

    def setup(self) -> None:
        import hashlib  # OpenSSL is 0.7 MB of memory that a waiting keeper does without

        self.path: str = self.args["path"]
        self.maxsize: int | None = self.args["maxsize"]
        self.mode: int | None = self.args["mode"]
        self.stderr: str | None = None
        self.rc = 0
        self._sum = hashlib.sha256()

    async def run(self) -> None:
        target = _Target(self.path, self.mode)
        await self.files.call(target.make_folder)
        try:
            await self.files.call(target.open)
        except OSError:
            self.stderr = f"Cannot open file '{self.path}' for download"
            self.rc = 1
            await self._discard(target)
            return
        except Interrupted:
            await self._discard(target)
            return
        try:
            whole = await self._receive(target)
            if self.interrupted:
                raise Interrupted
            if whole and not self._intact():
                self.stderr = f"File '{self.path}' was damaged on its way: its content is not what the master announced"
                self.rc = 1
                await self.files.clear_up(target.discard)
            else:
                await self.files.call(target.keep)
        except Interrupted:
            await self._discard(target)
            return
        except BaseException:
            self.rc = 1
            await self._discard(target)
            raise
        self._finished()

    async def _discard(self, target: _Target) -> None:
        await self.files.clear_up(target.discard)
        self._finished()

    async def _receive(self, target: _Target) -> bool:
        """Pull and write until the end of the file, `maxsize` or an interrupt. True: it is all there."""
        pulls = _Pulls(self)
        stop = asyncio.ensure_future(self.stop.wait())
        next_data = asyncio.ensure_future(self.host.fed(self.report.n))
        try:
            while not pulls.done:
                pulls.ask()
                await asyncio.wait({stop, next_data}, timeout=pulls.wait(), return_when=asyncio.FIRST_COMPLETED)
                if stop.done():
                    return False
                if next_data.done():
                    ready = pulls.take(*next_data.result())
                    pulls.ask()  # they travel while what has come is written
                    for data in ready:
                        await self.files.call(self._write, target, data)
                    next_data = asyncio.ensure_future(self.host.fed(self.report.n))
        finally:
            stop.cancel()
            next_data.cancel()
        # A file of exactly `maxsize` counts as truncated, too: Buildbot's worker does not look whether there is more.
        if self.maxsize is not None and pulls.position >= self.maxsize:
            self.stderr = f"Maximum filesize reached, truncating file '{self.path}'"
            self.rc = 1
        return pulls.position == pulls.size

    def _write(self, target: _Target, data: bytes) -> None:
        self._sum.update(data)
        target.file.write(data)

    def _intact(self) -> bool:
        """Does the content agree with the command's digest? One made without the content says nothing about it."""
        name = "downloadFile"
        return self.digest in (
            "",
            command_digest(name, self.asked, self._sum.hexdigest()),
            command_digest(name, self.asked),
        )

    def _finished(self) -> None:
        if self.interrupted:
            self.rc = 1
        self.report.update("rc", self.rc)
        if self.stderr:
            self.report.stderr(self.stderr.encode("utf-8", "replace"))


class _Pulls:
    """The ranges of a download: which are under way, which have come."""

    def __init__(self, command: DownloadFile) -> None:
        self._host = command.host
        self._n = command.report.n
        self._limit = command.maxsize
        #: all before it is written; the size is known with the first answer
        self.position = 0
        self.size: int | None = None
        self._asked = 0
        self._open: dict[int, tuple[int, float]] = {}  # offset -> (length, when)
        self._early: dict[int, bytes] = {}
        #: how many may be under way; one until the size is known
        self._at_once = 1
        self._generation = self._host.attachments

    @property
    def done(self) -> bool:
        return self.position >= self._end() if self.size is not None or self._limit == 0 else False

    def ask(self) -> None:
        """Ask for more, and again for what is not answered or was asked of a main process that is gone."""
        now = asyncio.get_running_loop().time()
        fresh = self._host.attachments != self._generation
        self._generation = self._host.attachments
        for offset, (length, when) in list(self._open.items()):
            if fresh or now - when >= PULL_REPEAT:
                self._pull(offset, length, now)
        # What came before its turn counts, too: while one answer is lost, the others must not fill the memory.
        end = min(self._end(), self.position + self._at_once * PULL_SIZE)
        while self._asked < end:
            length = min(PULL_SIZE, end - self._asked)
            self._pull(self._asked, length, now)
            self._asked += length

    def wait(self) -> float:
        """Seconds until a pull has to be repeated (looked at once a second, for a main process that is new)."""
        return min(1.0, PULL_REPEAT)

    def take(self, offset: int, size: int, data: bytes) -> list[bytes]:
        """What can be written now, in order."""
        self.size = size
        pulled = self._open.pop(offset, None)
        if pulled is None:
            return []  # an answer to a repeated pull
        quick = asyncio.get_running_loop().time() - pulled[1] <= PULL_QUICK
        self._at_once = min(max(PULLS, self._at_once + 1), PULLS_QUICK) if quick else PULLS
        if len(data) < pulled[0] and offset + len(data) < self._end():
            if data:  # a short answer: ask for the rest
                self._pull(offset + len(data), pulled[0] - len(data), asyncio.get_running_loop().time())
            else:
                self._open[offset] = pulled
                return []
        self._early[offset] = data
        ready = []
        while self.position in self._early:
            data = self._early.pop(self.position)
            if not data:
                break
            ready.append(data)
            self.position += len(data)
        return ready

    def _pull(self, offset: int, length: int, now: float) -> None:
        self._open[offset] = (length, now)
        self._host.pull(self._n, offset, length)

    def _end(self) -> int:
        ends = [end for end in (self.size, self._limit) if end is not None]
        return min(ends) if ends else PULL_SIZE


class _Target:
    """The file as it is being written. All its methods may block: they are for a `FileThread`."""

    def __init__(self, path: str, mode: int | None) -> None:
        self._path = path
        self._mode = mode
        #: the folder and the name of what is put in place at the end
        self._folder = -1
        self._beside: str | None = None
        self.file: BinaryIO

    def make_folder(self) -> None:
        folder = os.path.dirname(self._path)
        if not os.path.exists(folder):
            os.makedirs(folder)

    def open(self) -> None:
        """Raises OSError where Buildbot's worker could not open it either."""
        # Write through a link, as opening it would.
        self._path = os.path.realpath(self._path)
        mode = self._mode
        found = os.stat(self._path) if os.path.exists(self._path) else None
        if found is not None and (not stat.S_ISREG(found.st_mode) or found.st_nlink > 1):
            # A device, a pipe, or a file with other names: it must stay what it is.
            self._open_in_place()
            return
        if found is not None and not os.access(self._path, os.W_OK):
            raise PermissionError(self._path)
        self._folder = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd, self._beside = beside.make(self._folder)
        except PermissionError:
            if found is None:
                raise
            # The folder takes no new names, but the file may be written: in place, as Buildbot's worker does.
            self._open_in_place()
            return
        self.file = os.fdopen(fd, "wb")
        if found is not None and not self._take_over(found):
            self.discard()
            self._open_in_place()
            return
        if mode is None and found is not None:
            mode = stat.S_IMODE(found.st_mode)
        self._set_mode(mode)

    def _take_over(self, found: os.stat_result) -> bool:
        """Give the new file the owner, the group and the attributes (access lists among them) of the one it replaces.

        False: we may not; then the content is written into the old one, as Buildbot's worker does.
        """
        fd = self.file.fileno()
        try:
            made = os.fstat(fd)
            if (made.st_uid, made.st_gid) != (found.st_uid, found.st_gid):
                os.chown(fd, found.st_uid, found.st_gid)
            if hasattr(os, "listxattr"):
                for name in os.listxattr(self._path):
                    if name.startswith("user.") or name == "system.posix_acl_access":
                        os.setxattr(fd, name, os.getxattr(self._path, name))
        except OSError as error:
            return error.errno == errno.ENOTSUP  # a file system without attributes
        return True

    def keep(self) -> None:
        held = os.dup(self.file.fileno())  # until it has its name, so that nobody takes it for left
        try:
            self.file.close()
            if self._beside is not None:
                os.replace(self._beside, os.path.basename(self._path), src_dir_fd=self._folder, dst_dir_fd=self._folder)
                self._beside = None
        finally:
            os.close(held)
        self._leave_folder()

    def discard(self) -> None:
        if hasattr(self, "file"):
            with contextlib.suppress(OSError):  # what cannot be flushed (disk full) is thrown away anyway
                self.file.close()
        if self._beside is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._beside, dir_fd=self._folder)
            self._beside = None
        self._leave_folder()

    def _open_in_place(self) -> None:
        self.file = open_file(self._path, "wb")
        self._set_mode(self._mode)

    def _leave_folder(self) -> None:
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def _set_mode(self, mode: int | None) -> None:
        if mode is not None:
            os.chmod(self.file.fileno(), mode)
