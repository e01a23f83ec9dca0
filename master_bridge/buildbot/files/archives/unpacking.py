"""Writes an archive's members below a target folder, and nowhere else, whatever the archive and the folder hold.

Each folder is opened from the one above it and never through a link (openat(2) with O_NOFOLLOW), files are always made
anew, and what is there already is replaced if it is no folder. A name is given once in an archive.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import BinaryIO

from master_bridge.buildbot.files.archives.members import BLOCK, PATH_MAX, Headers, Member, Path, member_name
from master_bridge.buildbot.files.archives.source import PIECE, ArchiveRefused, Source, Steps

#: Most files, folders and links that one archive makes.
ENTRIES_MAX = 250_000
#: Without `maxsize` an archive unpacks to this many bytes, or this many times its own size if that is more. Logs of
#: builds compress to a tenth, text that repeats itself to a hundredth; what is above was made to fill a disk.
UNPACKED_MIN = 1024**3
RATIO_MAX = 200

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack(
    archive: FilePath,
    target: FilePath,
    *,
    compress: str | None,
    maxsize: int | None,
    left_out: Callable[[str], None] | None = None,
    folder_modes: bool = False,
) -> Steps[None]:
    """Unpack `archive` below `target`, which is made if need be, in small steps.

    `compress` is Buildbot's: None, "gz" or "bz2". `maxsize`: most bytes that all files have together, None for a limit
    by the archive's size. `left_out` is told of each link that leads outside, pipe and device, which is left out then;
    without it these are refused as well. `folder_modes`: folders have theirs, too, but for bits that give rights away.
    Raises `ArchiveRefused` at the first member that is not to be, `OSError` of the disk; what
    was unpacked before stays.
    """
    limit = max(UNPACKED_MIN, RATIO_MAX * archive.stat().st_size) if maxsize is None else maxsize
    target.mkdir(parents=True, exist_ok=True)
    with archive.open("rb") as file, contextlib.closing(_Target(target, limit)) as place:
        source = Source(file, compress)
        headers = Headers(source, left_out)
        while (member := (yield from headers.next())) is not None:
            yield
            try:
                yield from place.add(member, source)
                if folder_modes and member.kind == "folder":
                    place.set_mode(member.mode)
            except OSError as error:  # of a component, in whichever folder: say which member
                raise OSError(error.errno, f"{error.strerror}: {member.name} in {target}") from error


class _Target:
    """The folder in which an archive is unpacked."""

    def __init__(self, folder: FilePath, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._bytes_left = limit
        self._entries_left = ENTRIES_MAX
        #: names of what this archive made and is no folder
        self._files: set[bytes] = set()
        self._links: set[bytes] = set()
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        #: the folder of the last member is open: most of the next ones are beside it
        self._at: Path = ()
        self._at_fd = os.dup(self._root)

    def close(self) -> None:
        os.close(self._at_fd)
        os.close(self._root)

    def add(self, member: Member, source: Source) -> Steps[None]:
        path = b"/".join(member.path)
        if len(os.fsencode(self._folder)) + len(path) >= PATH_MAX:
            raise ArchiveRefused(f"{member.name} is too long a name for the folder {self._folder}")
        if member.kind == "folder":
            self._enter(member.path)
            return
        self._enter(member.path[:-1])
        if path in self._files or path in self._links:
            raise ArchiveRefused(f"{member.name} is twice in the archive")
        self._count()
        self._make_room(member)
        if member.kind == "link":
            os.symlink(b"/".join(member.link), member.path[-1], dir_fd=self._at_fd)
            self._links.add(path)
        elif member.kind == "hard link":
            self._link(member)
            self._files.add(path)
        else:
            self._files.add(path)
            yield from self._write(member, source)

    # folders

    def set_mode(self, mode: int) -> None:
        """Of the folder that was added last; who unpacks goes on to write there."""
        os.fchmod(self._at_fd, mode & 0o755 | 0o700)

    def _enter(self, path: Path) -> None:
        """Have the folder `path` open; make what is missing of it."""
        if path == self._at:
            return
        at = os.dup(self._root)
        try:
            for depth, name in enumerate(path, 1):
                below = self._open(at, name, path[:depth])
                os.close(at)
                at = below
        except BaseException:
            os.close(at)
            raise
        os.close(self._at_fd)
        self._at, self._at_fd = path, at

    def _open(self, above: int, name: bytes, path: Path) -> int:
        try:
            found = os.stat(name, dir_fd=above, follow_symlinks=False)
        except FileNotFoundError:
            found = None
        if found is None or not stat.S_ISDIR(found.st_mode):
            whole = b"/".join(path)
            if whole in self._files or whole in self._links:
                raise ArchiveRefused(f"{member_name(whole)} is a file or a link in the archive, and a folder, too")
            if found is not None:
                os.unlink(name, dir_fd=above)
            self._count()
            os.mkdir(name, dir_fd=above)
        return os.open(name, _FOLDER, dir_fd=above)

    # files and links

    def _count(self) -> None:
        self._entries_left -= 1
        if self._entries_left < 0:
            raise ArchiveRefused(f"the archive has more than {ENTRIES_MAX:,} files and folders")

    def _make_room(self, member: Member) -> None:
        """Remove what an earlier upload for example has left in the place of a file or a link."""
        name = member.path[-1]
        try:
            found = os.stat(name, dir_fd=self._at_fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise ArchiveRefused(f"{member.name} is a {member.kind}, and there is a folder of that name")
        os.unlink(name, dir_fd=self._at_fd)

    def _write(self, member: Member, source: Source) -> Steps[None]:
        """Mode and time as Buildbot's filter leaves them (`tarfile.data_filter`): no bits that give rights away."""
        self._bytes_left -= member.size
        if self._bytes_left < 0:
            raise ArchiveRefused(
                f"the archive unpacks to more than {self._limit:,} bytes: a higher maxsize of the step allows more"
            )
        file: BinaryIO
        with open(os.open(member.path[-1], _NEW_FILE, 0o600, dir_fd=self._at_fd), "wb") as file:
            left = member.size
            while left > 0:
                left -= file.write((yield from source.read(min(left, PIECE))))
            file.flush()
            mode = member.mode & 0o755 | 0o600
            os.fchmod(file.fileno(), mode if mode & 0o100 else mode & 0o644)
            if member.mtime is not None:
                os.utime(file.fileno(), (member.mtime, member.mtime))
        yield from source.skip(-member.size % BLOCK)

    def _link(self, member: Member) -> None:
        """A hard link, to a file that this archive brought: to no other, whose content is not the archive's."""
        other = b"/".join(member.link)
        if other not in self._files:
            raise ArchiveRefused(
                f"Link {member.name} leads outside of the archive: {member_name(other)} is no file before it"
            )
        folder = os.dup(self._root)
        try:
            for name in member.link[:-1]:
                below = os.open(name, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = below
            names = member.link[-1], member.path[-1]
            os.link(*names, src_dir_fd=folder, dst_dir_fd=self._at_fd, follow_symlinks=False)
        finally:
            os.close(folder)
