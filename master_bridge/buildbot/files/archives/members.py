"""An archive's headers: what its members say that they are, and which of that is refused.

Formats: ustar and its pax and GNU extensions (names, links, sizes), as Python's `tarfile` and GNU tar write them
(POSIX.1-2017, "pax"; `tarfile.TarInfo.frombuf` reads a block). Of members there are files, folders, symbolic and hard
links; all else is refused: devices, pipes, sparse files, headers that change all members.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from master_bridge.buildbot.files.archives.source import ArchiveRefused, MemberRefused, Source, Steps

BLOCK = tarfile.BLOCKSIZE
#: Bytes of a path, as Linux has it for a system call (PATH_MAX with its NUL).
PATH_MAX = 4095
#: Folders one in the other.
DEPTH_MAX = 256
#: Bytes of one header that extends another (its names, times, attributes), and of all of them.
EXTENSION_MAX = 1024 * 1024
EXTENSIONS_MAX = 64 * 1024 * 1024
#: Digits of a size in bytes: an exabyte. `int` of a text without bound takes quadratic time.
_DIGITS_MAX = 18

Kind = Literal["file", "folder", "link", "hard link"]
#: Names of the components below the target, as bytes: they need not be UTF-8. () is the target itself.
Path = tuple[bytes, ...]

_KINDS: Mapping[bytes, Kind] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link",
    tarfile.LNKTYPE: "hard link",
}
_REFUSED = {
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_WITHOUT_CONTENT = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
#: Headers of GNU's that hold a name longer than a block has room for, by the pax keyword for the same.
_GNU_NAMES = {tarfile.GNUTYPE_LONGNAME: b"path", tarfile.GNUTYPE_LONGLINK: b"linkpath"}


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member. `size`: bytes of content, of a file only. `mtime`: seconds since 1970, None: not told."""

    path: Path
    kind: Kind
    size: int
    mode: int
    mtime: float | None
    #: of a symbolic link its text, in normal form (`..` at its beginning only); of a hard link the other's path
    link: Path = ()

    @property
    def name(self) -> str:
        return member_name(b"/".join(self.path))


class Headers:
    """Reads one header after the other; whoever reads a file's content reads it before the next header.

    `left_out` is told of each member that is refused and left out; without it such a one ends all.
    """

    def __init__(self, source: Source, left_out: Callable[[str], None] | None = None) -> None:
        self._source = source
        self._left_out = left_out
        self._extensions_left = EXTENSIONS_MAX

    def next(self) -> Steps[Member | None]:
        """The next member; None at the archive's end mark."""
        extended: dict[bytes, bytes] = {}
        while True:
            block = yield from self._source.read(BLOCK)
            if not block.strip(b"\0"):
                if extended:
                    raise ArchiveRefused("the archive ends after a header that belongs to another")
                return None
            try:
                header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                raise ArchiveRefused(f"the archive is damaged, or compressed in another way: {error}") from error
            if header.type in _GNU_NAMES:
                name = (yield from self._extension(header)).rstrip(b"\0")
                _extend(extended, {_GNU_NAMES[header.type]: name})
            elif header.type == tarfile.XHDTYPE:
                _extend(extended, _records((yield from self._extension(header))))
            else:
                try:
                    return _member(header, extended)
                except MemberRefused as refused:
                    if self._left_out is None:
                        raise
                    self._left_out(str(refused))
                    extended = {}

    def _extension(self, header: tarfile.TarInfo) -> Steps[bytes]:
        size = header.size
        if not 0 <= size <= EXTENSION_MAX:
            raise ArchiveRefused(f"a header of the archive has {size} bytes: {EXTENSION_MAX} are allowed")
        self._extensions_left -= size
        if self._extensions_left < 0:
            raise ArchiveRefused(f"the names in the archive have more than {EXTENSIONS_MAX} bytes")
        content = yield from self._source.read(size)
        yield from self._source.skip(-size % BLOCK)
        return content


def member_name(raw: bytes) -> str:
    """A foreign name for a message: quoted, escaped and not too long."""
    text = ascii(raw.decode("utf-8", "surrogateescape"))
    return text if len(text) <= 200 else f"{text[:200]}…"


def _extend(extended: dict[bytes, bytes], more: Mapping[bytes, bytes]) -> None:
    """Two headers that say different things of one member are a way to be read differently by different readers."""
    if twice := extended.keys() & more.keys():
        raise ArchiveRefused(f"the archive says twice what the {member_name(min(twice))} of one member is")
    extended.update(more)


def _records(content: bytes) -> dict[bytes, bytes]:
    """Of a pax header: `<length> <keyword>=<value>\\n`, one after the other, the length of all of it in decimal."""
    found: dict[bytes, bytes] = {}
    place = 0
    while place < len(content):
        space = content.find(b" ", place, place + _DIGITS_MAX)
        digits = content[place:space] if space >= 0 else b""
        end = place + int(digits) if digits.isdigit() else 0
        record = content[space + 1 : end]
        keyword, equals, value = record[:-1].partition(b"=")
        if end > len(content) or record[-1:] != b"\n" or not equals:
            raise ArchiveRefused("a pax header of the archive is damaged")
        if keyword.startswith(b"GNU.sparse."):
            raise ArchiveRefused("the archive has a sparse file, which is not unpacked")
        _extend(found, {keyword: value})
        place = end
    return found


def _member(header: tarfile.TarInfo, extended: Mapping[bytes, bytes]) -> Member:
    raw = extended.get(b"path", _raw(header.name))
    kind = _KINDS.get(header.type)
    if kind is None:
        what = _REFUSED.get(header.type, f"of type {header.type!r}")
        refused = ArchiveRefused if header.type not in _WITHOUT_CONTENT or header.size else MemberRefused
        raise refused(f"{member_name(raw)} is {what}: only files, folders and links are unpacked")
    size = _size(header, extended, raw)
    if kind != "file" and size:
        raise ArchiveRefused(f"{member_name(raw)} is a {kind} with content")
    path = _path(raw)
    if not path and kind != "folder":
        raise ArchiveRefused(f"{member_name(raw)} is a {kind} in the target folder's own place")
    link: Path = ()
    if kind == "link":
        link = _target(path, extended.get(b"linkpath", _raw(header.linkname)))
    elif kind == "hard link":
        link = _path(extended.get(b"linkpath", _raw(header.linkname)))
    return Member(path=path, kind=kind, size=size, mode=header.mode, mtime=_mtime(header, extended), link=link)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _size(header: tarfile.TarInfo, extended: Mapping[bytes, bytes], raw: bytes) -> int:
    digits = extended.get(b"size")
    if digits is None:
        size = header.size
    else:
        size = int(digits) if digits.isdigit() and len(digits) <= _DIGITS_MAX else -1
    if size < 0:
        raise ArchiveRefused(f"{member_name(raw)} has no size that could be")
    return size


def _mtime(header: tarfile.TarInfo, extended: Mapping[bytes, bytes]) -> float | None:
    """A time that no file system takes is none: the file has the one at which it was unpacked."""
    try:
        mtime = float(extended.get(b"mtime", header.mtime))
    except (ValueError, OverflowError):
        return None
    return mtime if 0 <= mtime < 2**33 else None


def _path(raw: bytes) -> Path:
    """Where below the target a member belongs. Of an absolute name what follows the root counts, as in GNU tar."""
    path = _components(raw)
    if b".." in path:
        raise ArchiveRefused(f"{member_name(raw)} could lie outside of the target folder: a member's name has no '..'")
    return path


def _target(path: Path, raw: bytes) -> Path:
    """A symbolic link's text in normal form, which stays within the target for whatever else is unpacked there.

    Its `..` are all at its beginning, where they leave folders that are folders, and no links: the link's own are. What
    follows them goes down only, through links perhaps, of which the same is true.
    """
    refusal = MemberRefused(
        f"Link {member_name(b'/'.join(path))} leads outside of the target folder: to {member_name(raw)}"
    )
    if not raw or raw.startswith(b"/"):
        raise refusal
    normal: list[bytes] = []
    for component in _components(raw):
        if component == b".." and normal and normal[-1] != b"..":
            normal.pop()
        else:
            normal.append(component)
    if normal.count(b"..") >= len(path):
        raise refusal
    return tuple(normal) or (b".",)


def _components(raw: bytes) -> Path:
    if b"\0" in raw or len(raw) > PATH_MAX:
        raise ArchiveRefused(f"{member_name(raw)} is no name that a file can have")
    components = tuple(each for each in raw.split(b"/") if each not in (b"", b"."))
    if len(components) > DEPTH_MAX:
        raise ArchiveRefused(f"{member_name(raw)} has more than {DEPTH_MAX} folders, one in the other")
    return components
