"""Folders on this side: packed for agents, and unpacked of what agents send, of which nothing is believed."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tarfile
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, cast

from contracts.readable import shown
from master_bridge.buildbot.files.archives.source import ArchiveRefused
from master_bridge.buildbot.files.archives.unpacking import unpack
from master_bridge.operating.errors import OperatingError
from master_bridge.running.local_files import Arriving, LocalFile
from master_bridge.running.orders import StepFailed

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: Of what is left out of a folder so many are named.
NAMED_MAX = 20


class LeftOut:
    """What of a folder cannot be copied, for people: the first of them, and how many more."""

    def __init__(self) -> None:
        self._named: list[str] = []
        self._more = 0

    def add(self, what: str) -> None:
        """What it is, and why."""
        if len(self._named) < NAMED_MAX:
            self._named.append(shown(what))
        else:
            self._more += 1

    @property
    def told(self) -> tuple[str, ...]:
        return (*self._named, *([f"and {self._more} more"] if self._more else []))


class _Packing(tarfile.TarFile):
    """Goes on after what cannot be read, so that all of it can be named. The archive is worth nothing then."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.unread = LeftOut()
        super().__init__(*args, **kwargs)

    def add(self, name: Any, *args: Any, **kwargs: Any) -> None:
        """Also called for each that is in a folder. Raises OSError where the archive has no room."""
        try:
            super().add(name, *args, **kwargs)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
            # the library's own, without a number, where a file has less than its size
            self.unread.add(f"{name}: {error.strerror or 'it became shorter while it was read'}")


class LocalFolder(LocalFile):
    """What is put on agents: an archive of `path`, in a temporary file of which all agents are served.

    Files, folders and symbolic links, as they are; pipes, sockets and devices are `left_out`. Of permissions what a
    single file keeps, too. GNU's format: busybox, which boards have, reads no other with long names.
    """

    def __init__(self, path: Path) -> None:
        """Raises `OperatingError` for what cannot be read."""
        self.left_out = LeftOut()
        self._root = path
        if not path.resolve().name:
            raise OperatingError(f"{path} has no name: put what is in it")
        super().__init__(path.resolve())

    def _open(self) -> BinaryIO:
        archive = cast(BinaryIO, tempfile.TemporaryFile(prefix="put-"))  # noqa: SIM115  # until `close`
        try:
            with _Packing.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
                tar.add(self._root, ".", filter=self._member)
            if unread := tar.unread.told:
                raise OperatingError(
                    f"{self._root} is not copied; put it again when nobody writes to it, or without what cannot be "
                    f"read: {'; '.join(unread)}"
                )
            archive.seek(0)
        except BaseException as error:
            archive.close()
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                folder = tempfile.gettempdir()
                raise OperatingError(
                    f"{folder}: {error.strerror}, for the archive of {self._root}: set TMPDIR to a folder with room"
                ) from None
            raise
        return archive

    def _member(self, member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            self.left_out.add(f"{member.name}: it is a pipe or a device")
            return None
        if member.isdir():
            self._note_sockets(member.name)
        member.uid = member.gid = 0  # whose they are here says nothing there
        member.uname = member.gname = ""
        member.mode &= 0o777
        return member

    def _note_sockets(self, folder: str) -> None:
        """The library leaves them out without a word."""
        with os.scandir(self._root / folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # who adds it says so
                    if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                        self.left_out.add(f"{folder}/{entry.name}: it is a socket")


class ArrivingFolder(Arriving):
    """A folder that comes from an agent, as an archive: it is there whole at the end, or not at all.

    What leads out of it is `left_out`. Permissions are kept, but for those that give rights away.
    """

    def __init__(self, target: Path) -> None:
        super().__init__(target)
        self.left_out = LeftOut()
        self._folder = target.with_name(f".get-{secrets.token_hex(8)}")

    def keep(self) -> None:
        """It is whole. Raises OSError, and `StepFailed` for an archive that is not unpacked."""
        self._close()
        steps = unpack(
            self._beside, self._folder, compress=None, maxsize=None, left_out=self.left_out.add, folder_modes=True
        )
        try:
            for _ in steps:
                pass
        except ArchiveRefused as error:
            raise StepFailed(f"what the agent sent is not taken: {error}") from None
        self._folder.rename(self._target)

    def discard(self) -> None:
        super().discard()
        shutil.rmtree(self._folder, ignore_errors=True)
