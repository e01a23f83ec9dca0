"""Archives that are made to write elsewhere, or too much, unpacked by the writer that Buildbot gives to the bridge."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from buildbot.process.remotetransfer import DirectoryWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.messages import Event
from master_bridge.buildbot.files import transfers
from master_bridge.buildbot.files.archives import members, unpacking
from master_bridge.buildbot.files.archives.source import ArchiveRefused
from tests.unit.bridge_edge.output.archives import COMPRESS, END, archive, block, member, pax, upload

DIR, LINK, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE

#: Members one after the other, as an archive may have them.
LEADING_AWAY = {
    "file above": [member("../escaped")],
    "file far above": [member("a/b/../../../../escaped")],
    "file beside, by way of above": [member("../target/escaped")],
    "folder above": [member("../escaped", DIR)],
    "link above": [member("link", LINK, "../escaped")],
    "link to an absolute path": [member("link", LINK, "/etc")],
    "link above, from below": [member("a/b/link", LINK, "../../../escaped")],
    "link above, by way of below": [member("link", LINK, "a/../../escaped")],
    "link in the target's place": [member(".", LINK, "..")],
    "hard link above": [member("link", HARD, "../secret")],
    "hard link to an absolute path": [member("link", HARD, "/etc/hostname")],
    "hard link to what was there": [member("link", HARD, "mine")],
    "hard link to a link": [member("a", LINK, "mine"), member("link", HARD, "a")],
    "hard link to itself": [member("link", HARD, "link")],
    "hard link to a folder": [member("a", DIR), member("link", HARD, "a")],
    "hard link to the target": [member("link", HARD, ".")],
    "file through a link": [member("d", LINK, ".."), member("d/escaped")],
    "file through a link within": [member("a", DIR), member("d", LINK, "a"), member("d/escaped")],
    "folder through a link": [member("d", LINK, "."), member("d/escaped", DIR)],
    "hard link through a link": [member("f"), member("d", LINK, "."), member("link", HARD, "d/f")],
    "file through two links": [
        member("a", DIR), member("a/b", LINK, ".."), member("c", LINK, "a/b/.."), member("c/escaped"),
    ],
    "device": [member("device", tarfile.CHRTYPE)],
    "block device": [member("device", tarfile.BLKTYPE)],
    "pipe": [member("pipe", tarfile.FIFOTYPE)],
    "pipe and a file above": [member("pipe", tarfile.FIFOTYPE), member("../escaped")],
    "of no known type": [member("odd", b"Z")],
    "file, then folder": [member("a"), member("a", DIR), member("a/escaped")],
    "file, then link": [member("a"), member("a", LINK, "b")],
    "file, then file": [member("a"), member("a")],
    "file, then file by another name": [member("a"), member("./a")],
    "folder, then link": [member("a", DIR), member("a", LINK, ".."), member("a/escaped")],
    "folder, then file": [member("a/b", DIR), member("a")],
    "link, then file": [member("a", LINK, "mine"), member("a")],
    "link, then folder": [member("a", LINK, "."), member("a", DIR), member("a/escaped")],
    "link, then hard link": [member("f"), member("a", LINK, "f"), member("a", HARD, "f")],
    "hard link, then file": [member("f"), member("a", HARD, "f"), member("a")],
    "name of 256 bytes": [member("x" * 256)],
    "name longer than a path": [member("x/" * 2200 + "y")],
    "folders without end": [member("x/" * 300 + "y")],
    "file in the target's place": [member(".")],
}  # fmt: skip

#: Blocks that `tarfile` itself would not write.
MADE_UP = {
    "pax path above": pax(("path", b"../escaped")) + block("a"),
    "pax path with a NUL": pax(("path", b"a\0/../../escaped")) + block("a"),
    "pax link above": pax(("linkpath", b"../escaped")) + block("a", LINK, linkname="b"),
    "pax link to nowhere": pax(("linkpath", b"")) + block("a", LINK, linkname="b"),
    "pax size that is none": pax(("size", b"1_0")) + block("a", content=b"x" * 10),
    "pax size below 0": pax(("size", b"-512")) + block("a"),
    "pax size of 5000 digits": pax(("size", b"9" * 5000)) + block("a"),
    "pax size above all": pax(("size", b"9" * 18)) + block("a"),
    "pax says twice": pax(("path", b"a"), ("path", b"../escaped")) + block("a"),
    "two pax headers": pax(("path", b"b")) + pax(("path", b"../escaped")) + block("a"),
    "pax for all": pax(("path", b"../escaped"), kind=tarfile.XGLTYPE) + block("a"),
    "pax of Solaris": pax(("path", b"../escaped"), kind=tarfile.SOLARIS_XHDTYPE) + block("a"),
    "pax record of no length": block("pax", tarfile.XHDTYPE, b"0 path=a\n") + block("a"),
    "pax record beyond its header": block("pax", tarfile.XHDTYPE, b"99 path=a\n") + block("a"),
    "pax record without a value": block("pax", tarfile.XHDTYPE, b"7 path\n") + block("a"),
    "pax of digits": block("pax", tarfile.XHDTYPE, b"1" * 500_000) + block("a"),
    "pax and then nothing": pax(("path", b"a")),
    "pax of 2 MiB": pax(("comment", b"x" * 2**21)) + block("a"),
    "GNU name above": block("././@LongLink", tarfile.GNUTYPE_LONGNAME, b"../escaped\0") + block("a"),
    "GNU link above": block("././@LongLink", tarfile.GNUTYPE_LONGLINK, b"../x\0") + block("a", LINK, linkname="b"),
    "GNU name and pax path": block("././@LongLink", tarfile.GNUTYPE_LONGNAME, b"b\0")
    + pax(("path", b"c"))
    + block("a"),
    "GNU name of no size": block("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=-1) + block("a"),
    "sparse, GNU": block("a", tarfile.GNUTYPE_SPARSE),
    "sparse, pax 0.1": pax(("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"999999999999")) + block("a"),
    "sparse, pax 1.0": pax(("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"9")) + block("a", content=b"0\n"),
    "size below 0": block("a", size=-1024),
    "size beyond the end": block("a", size=5000),
    "folder with content": block("a", DIR, block("../escaped")),
    "link with content": block("a", LINK, block("../escaped"), linkname="b"),
    "no header": b"x" * 512,
}


def check_nothing_escaped(folder: Path) -> None:
    """What lies beside the target is as it was, and nothing in the target leads out of it."""
    assert sorted(path.name for path in folder.iterdir()) in (["secret"], ["secret", "target"])
    assert (folder / "secret").read_text() == "secret"
    assert (folder / "secret").stat().st_nlink == 1
    target = (folder / "target").resolve()
    found = list(target.rglob("*"))
    real = [Path(os.path.realpath(path)) for path in found]  # which takes a link to itself as it is
    assert not [path for path in real if path.name == "escaped" or not path.is_relative_to(target)]
    mine = target / "mine"
    assert not mine.exists() or (mine.read_text(), mine.stat().st_nlink) == ("mine", 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "mine").write_text("mine")
    return tmp_path


@pytest.mark.parametrize("compress", COMPRESS)
@pytest.mark.parametrize("name", LEADING_AWAY)
def test_no_archive_writes_outside_of_its_target(name: str, compress: str | None, folder: Path) -> None:
    """Unpacking what a session's events brought fails, and what is beside the target is as it was."""
    failure = upload(archive(LEADING_AWAY[name]), folder / "target", compress=compress)
    assert failure is not None
    assert failure.check(ArchiveRefused, OSError), failure
    check_nothing_escaped(folder)


@pytest.mark.parametrize("name", MADE_UP)
def test_headers_that_no_program_writes_are_refused(name: str, folder: Path) -> None:
    """The refusal says what is wrong; it never is an error of Python's."""
    failure = upload(MADE_UP[name] + END, folder / "target")
    assert failure is not None
    assert failure.check(ArchiveRefused), failure
    check_nothing_escaped(folder)


def test_an_absolute_name_counts_from_the_target(folder: Path) -> None:
    """As GNU tar and Python's filter do it: what follows the root."""
    assert upload(archive([member("/etc/passwd"), member("//a", DIR)]), folder / "target") is None
    assert (folder / "target" / "etc" / "passwd").is_file()
    check_nothing_escaped(folder)


def test_links_on_the_masters_disk_are_not_followed(folder: Path) -> None:
    """What an earlier upload, or somebody else, left in the target is replaced: not written through, not followed."""
    target = folder / "target"
    for name in ("file", "folder", "hard"):
        (target / name).symlink_to("../secret" if name == "file" else "..")
    (target / "hard").unlink()
    os.link(target / "mine", target / "hard")
    made = [member("file"), member("folder/escaped-not"), member("hard")]
    assert upload(archive(made, b"new"), target) is None
    assert {path.relative_to(target).as_posix() for path in target.rglob("*")} == {
        "mine", "file", "folder", "folder/escaped-not", "hard",
    }  # fmt: skip
    assert not [path for path in target.rglob("*") if path.is_symlink()]
    check_nothing_escaped(folder)


def test_a_folder_on_the_masters_disk_is_not_replaced(folder: Path) -> None:
    (folder / "target" / "a" / "b").mkdir(parents=True)
    for each in (member("a"), member("a", LINK, "mine")):
        failure = upload(archive([each]), folder / "target")
        assert failure is not None
        assert "there is a folder of that name" in failure.getErrorMessage()
    assert (folder / "target" / "a" / "b").is_dir()


def test_two_uploads_together_lead_nowhere(folder: Path) -> None:
    """A link that stays within does so still when a later upload turns what it passes into another link."""
    first = archive([member("d", LINK, "a/b/c/../../../secret"), member("e", LINK, "a/b/c/../../..")])
    second = archive([member("a/b/c", LINK, "../..")])
    assert [upload(each, folder / "target") for each in (first, second)] == [None, None]
    check_nothing_escaped(folder)


# too much


@pytest.mark.parametrize("compress", ["gz", "bz2"])
def test_maxsize_holds_for_what_is_unpacked(compress: str, folder: Path) -> None:
    """A bomb: 64 MB in a few kB. Nothing of the file is written, nor kept in memory."""
    data = archive([member("small")], b"x" * 1000)[:1536] + archive([member("bomb")], bytes(64_000_000))
    tracemalloc.start()
    packed = COMPRESS[compress](data)
    del data
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    writer = DirectoryWriter(str(folder / "target"), 100_000, compress, 0o600)
    writer.remote_write(packed)
    failures: list[object] = []
    transfers.write(writer, Event(session="s", seq=1, n=1, kind="writer", value=["unpack"])).addErrback(failures.append)
    grown = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert "more than 100,000 bytes" in str(failures)
    assert grown < 16_000_000
    assert [path.stat().st_size for path in (folder / "target").iterdir() if path.name != "mine"] == [1000]


def test_many_small_files_are_too_much_together(folder: Path) -> None:
    data = archive([member(f"f{n}") for n in range(20)], b"x" * 100)
    assert upload(data, folder / "target", compress="gz", maxsize=2000) is None
    failure = upload(data, folder / "target", compress="gz", maxsize=1999)
    assert failure is not None
    assert "maxsize" in failure.getErrorMessage()


def test_without_maxsize_the_archives_own_size_is_the_measure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "UNPACKED_MIN", 50_000)
    monkeypatch.setattr(unpacking, "RATIO_MAX", 10)
    assert upload(archive([member("f")], bytes(50_000)), folder / "target", compress="gz") is None
    assert upload(archive([member("f")], os.urandom(200_000)), folder / "target", compress="gz") is None
    failure = upload(archive([member("f")], bytes(50_001)), folder / "target", compress="gz")
    assert failure is not None
    assert "more than 50,000 bytes" in failure.getErrorMessage()


def test_the_number_of_files_and_folders_has_a_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "ENTRIES_MAX", 10)
    assert upload(archive([member(f"f{n}") for n in range(10)]), folder / "target") is None
    for made in ([member(f"f{n}") for n in range(11)], [member("/".join("abcdefghijk"), DIR)]):
        failure = upload(archive(made), folder / "target")
        assert failure is not None
        assert "more than 10 files" in failure.getErrorMessage()


def test_names_have_a_limit_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "EXTENSIONS_MAX", 10_000)
    failure = upload(archive([member("x/" * 100 + str(n), DIR) for n in range(60)]), folder / "target")
    assert failure is not None
    assert "more than 10000 bytes" in failure.getErrorMessage()


@pytest.mark.parametrize("compress", ["gz", "bz2"])
def test_input_that_gives_no_output_is_worked_through_in_steps(compress: str, folder: Path) -> None:
    """Empty streams one after the other, and a stream that goes on after what it holds: refused at the first."""
    data = COMPRESS[compress](b"") * 100_000
    path = folder / "archive"
    path.write_bytes(data)
    steps = unpacking.unpack(path, folder / "target", compress=compress, maxsize=None)
    with pytest.raises(ArchiveRefused, match="ends before the archive does"):
        list(steps)


def test_a_large_archive_is_many_small_steps(folder: Path) -> None:
    """So that the reactor gets its turns, and an upload that nobody wants any more ends."""
    (folder / "archive").write_bytes(archive([member("large")], os.urandom(1024) * 10_000))
    steps = unpacking.unpack(folder / "archive", folder / "target", compress=None, maxsize=None)
    assert sum(1 for _ in steps) > 150
    steps = unpacking.unpack(folder / "archive", folder / "target", compress=None, maxsize=None)
    for _ in range(20):
        next(steps)
    steps.close()
    assert (folder / "target" / "large").stat().st_size < 3_000_000


# compression and damage


@pytest.mark.parametrize("said", COMPRESS)
@pytest.mark.parametrize("sent", COMPRESS)
def test_the_compression_is_the_one_that_was_asked_for(said: str | None, sent: str | None, folder: Path) -> None:
    writer = DirectoryWriter(str(folder / "target"), None, said, 0o600)
    writer.remote_write(COMPRESS[sent](archive([member("f")], b"x")))
    failures: list[object] = []
    transfers.write(writer, Event(session="s", seq=1, n=1, kind="writer", value=["unpack"])).addErrback(failures.append)
    assert bool(failures) == (said != sent)
    assert (folder / "target" / "f").exists() == (said == sent)


@pytest.mark.parametrize("compress", COMPRESS)
def test_part_of_an_archive_is_not_taken_for_all(compress: str | None, folder: Path) -> None:
    """Cut anywhere it is refused, also between two members."""
    data = archive([member("a"), member("b")], b"x" * 700)
    packed = COMPRESS[compress](data)
    cuts = range(0, 3072, 512) if compress is None else range(0, len(packed) - 20, 7)
    for cut in cuts:
        writer = DirectoryWriter(str(folder / "target"), None, compress, 0o600)
        writer.remote_write(packed[:cut])
        failures: list[object] = []
        event = Event(session="s", seq=1, n=1, kind="writer", value=["unpack"])
        transfers.write(writer, event).addErrback(failures.append)
        assert failures, cut


def test_an_upload_of_a_folder_is_not_closed_without_being_unpacked(folder: Path) -> None:
    """Its archive would stay on the master's disk for ever, and the step be a success."""
    writer = DirectoryWriter(str(folder / "target"), None, None, 0o600)
    failures: list[object] = []
    transfers.write(writer, Event(session="s", seq=1, n=1, kind="writer", value=["close"])).addErrback(failures.append)
    assert failures
    writer.cancel()  # as the step does
    assert not Path(writer.tarname).exists()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_refused_or_harmless(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes of a header changed, checksum made right again: no other exception, and nothing outside."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "secret").write_text("secret")
    kinds = st.sampled_from(
        [tarfile.REGTYPE, DIR, LINK, HARD, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, b"K", b"g", b"1"]
    )
    names = st.sampled_from(["a", "b", "a/b", "../x", "/x", "..", ".", "", "a/..", "a/../..", "c"])
    made = b""
    for _ in range(data.draw(st.integers(1, 5))):
        header = bytearray(
            block(data.draw(names), data.draw(kinds), data.draw(st.binary(max_size=40)), linkname=data.draw(names))
        )
        for place, value in data.draw(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), max_size=3)):
            header[place] = value
        header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:512]))
        made += bytes(header)
    failure = upload(made + END, folder / "target")
    assert failure is None or failure.check(ArchiveRefused, OSError), failure
    check_nothing_escaped(folder)


# honest ones


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("compress", COMPRESS)
def test_what_programs_write_is_unpacked(compress: str | None, format: int, tmp_path: Path) -> None:
    """Names long and odd, links within, hard links, empty and large files, modes and times: as it was packed."""
    here = tmp_path / "here"
    (here / "sub" / "empty").mkdir(parents=True)
    (here / "small").write_bytes(b"x")
    (here / "none").write_bytes(b"")
    (here / "large").write_bytes(os.urandom(200_001))
    (here / "program").write_bytes(b"#!")
    (here / "program").chmod(0o6775)
    (here / "private").write_bytes(b"p")
    (here / "private").chmod(0o400)
    (here / "sub" / "link").symlink_to("../small")
    (here / "dangling").symlink_to("sub/./nothing")
    os.link(here / "small", here / "sub" / "twin")
    (here / "gr\u00fc\u00df \n\x1b").write_bytes(b"u")
    (here / os.fsdecode(b"caf\xe9")).write_bytes(b"latin")
    if format != tarfile.USTAR_FORMAT:
        (here / ("n" * 200)).write_bytes(b"long")
        (here / "long-link").symlink_to("sub/" + "t" * 150)
        deep = here / "/".join(["d" * 60] * 6)
        deep.mkdir(parents=True)
        (deep / "f").write_bytes(b"deep")
    os.utime(here / "small", (1_000_000_000, 1_000_000_000))
    packed = io.BytesIO()
    with tarfile.open(mode="w", fileobj=packed, format=format) as tar:
        tar.add(here, "")
    assert upload(packed.getvalue(), tmp_path / "there", compress=compress) is None
    found, expected = _tree(tmp_path / "there"), _tree(here)
    assert found.pop("dangling") == ("link", "sub/nothing")
    del expected["dangling"]
    expected["program"] = (0o755, b"#!")
    expected["private"] = (0o600, b"p")
    assert found == expected
    assert (tmp_path / "there" / "small").stat().st_ino == (tmp_path / "there" / "sub" / "twin").stat().st_ino
    assert (tmp_path / "there" / "small").stat().st_mtime == 1_000_000_000
    # and once more into the same folder
    assert upload(packed.getvalue(), tmp_path / "there", compress=compress) is None
    assert _tree(tmp_path / "there").keys() == found.keys() | {"dangling"}


def _tree(folder: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = ("link", os.readlink(path))
        elif path.is_dir():
            found[str(path.relative_to(folder))] = ("folder",)
        else:
            found[str(path.relative_to(folder))] = (path.stat().st_mode & 0o7777, path.read_bytes())
    return found


def test_a_writer_of_the_configurations_own_unpacks_itself(tmp_path: Path) -> None:
    class Own(DirectoryWriter):
        def remote_unpack(self) -> str:
            self.remote_close()
            return "own"

    results: list[object] = []
    event = Event(session="s", seq=1, n=1, kind="writer", value=["unpack"])
    transfers.write(Own(str(tmp_path / "target"), None, None, None), event).addCallback(results.append)
    assert results == ["own"]


def test_a_gzip_stream_that_ends_with_output_pending_is_read_whole(tmp_path: Path) -> None:
    """Sizes around one piece: what zlib holds back when a piece is full comes with the next."""
    for size in range(65_000, 66_600, 100):
        data = archive([member("f")], b"x" * size)
        assert upload(gzip.decompress(gzip.compress(data)), tmp_path / "target", compress="gz") is None
        assert (tmp_path / "target" / "f").read_bytes() == b"x" * size
