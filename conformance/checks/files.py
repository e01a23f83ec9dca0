"""Commands on files and folders (docs/protocol.md, "Commands"): paths are below the builder's folder."""

from __future__ import annotations

import stat as modes

from conformance.errors import Violated, expect
from conformance.requirement import Topic
from conformance.session import Session
from conformance.stage import Stage

requirement = Topic()
RULE = "Commands"


def _rc(session: Session, n: int, wanted: int | None, what: str) -> None:
    """`wanted` None: anything but 0."""
    rc = session.updates(n).get("rc")
    fits = rc not in (None, 0) if wanted is None else rc == wanted
    expect(fits, f"{what}: rc is {rc!r}", session.completed(n))


@requirement("files.mkdir", "`mkdir` makes a folder with its parents; one that is there is no error", rule=RULE)
def mkdir(stage: Stage) -> None:
    session = stage.session()
    for n in (1, 2):
        stage.run(session, n, "mkdir", {"dir": "build/a/b", "logEnviron": False})
        _rc(session, n, 0, "mkdir build/a/b")
    stage.shell(session, 3, "test -d a/b")
    _rc(session, 3, 0, "the folder is not there")
    stage.finish(session)


@requirement(
    "files.rmdir", "`rmdir` removes folders with all that is in them, one or a list; none there is no error", rule=RULE
)
def rmdir(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "mkdir -p a/b c; echo x > a/b/file")
    stage.run(session, 2, "rmdir", {"dir": ["build/a", "build/c"], "logEnviron": False})
    _rc(session, 2, 0, "rmdir of two folders")
    stage.run(session, 3, "rmdir", {"dir": "build/a", "logEnviron": False})
    _rc(session, 3, 0, "rmdir of a folder that is not there")
    stage.shell(session, 4, "test ! -e a && test ! -e c")
    _rc(session, 4, 0, "the folders are still there")
    stage.finish(session)


@requirement("files.stat", "`stat` tells the ten numbers of stat(2); rc is not 0 for what is not there", rule=RULE)
def stat(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "printf 12345 > file")
    completed = stage.run(session, 2, "stat", {"file": "file", "workdir": "build"})
    _rc(session, 2, 0, "stat of a file")
    found = session.updates(2).get("stat")
    if not isinstance(found, list) or len(found) != 10:
        raise Violated(f"`stat` is {found!r}, not ten numbers", completed)
    expect(modes.S_ISREG(found[0]) and found[6] == 5, f"mode {found[0]!r} or size {found[6]!r} is wrong", completed)
    stage.run(session, 3, "stat", {"file": "nothing", "workdir": "build"})
    _rc(session, 3, None, "stat of nothing")
    stage.finish(session)


@requirement(
    "files.stat-missing", "`stat` of what is not there ends with 2 (ENOENT), and of what is below a file with 20 or 2",
    rule=RULE, level="should",
)  # fmt: skip
def stat_missing(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "touch file")
    for n, name in enumerate(("none", "file/below"), 2):
        completed = stage.run(session, n, "stat", {"file": f"build/{name}"})
        rc = session.updates(n).get("rc")
        expect(rc in (2, 20), f"rc is {rc!r} for {name}", completed)
    stage.finish(session)


@requirement("files.listdir", "`listdir` tells the names in a folder", rule=RULE, level="should")
def listdir(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "mkdir -p d; touch d/a d/.b")
    completed = stage.run(session, 2, "listdir", {"dir": "build/d"})
    names = session.updates(2).get("files")
    expect(isinstance(names, list) and sorted(names) == [".b", "a"], f"`files` is {names!r}", completed)
    stage.finish(session)


@requirement("files.glob", "`glob` tells the paths that match a pattern", rule=RULE, level="should")
def glob(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "touch a.txt b.txt c.log")
    completed = stage.run(session, 2, "glob", {"path": "build/*.txt"})
    names = session.updates(2).get("files")
    found = sorted(str(name).rpartition("/")[2] for name in names) if isinstance(names, list) else names
    expect(found == ["a.txt", "b.txt"], f"`files` is {names!r}", completed)
    stage.finish(session)


@requirement("files.rmfile", "`rmfile` removes a file; rc is not 0 when it is not there", rule=RULE, level="should")
def rmfile(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "touch file")
    stage.run(session, 2, "rmfile", {"path": "build/file", "logEnviron": False})
    _rc(session, 2, 0, "rmfile of a file")
    stage.run(session, 3, "rmfile", {"path": "build/file", "logEnviron": False})
    _rc(session, 3, None, "rmfile of nothing")
    stage.finish(session)


@requirement("files.cpdir", "`cpdir` copies a folder with all that is in it", rule=RULE, level="should")
def cpdir(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "mkdir -p from/sub; echo x > from/sub/file; ln -s sub/file from/link")
    stage.run(session, 2, "cpdir", {"fromdir": "build/from", "todir": "build/to", "timeout": 120})
    _rc(session, 2, 0, "cpdir")
    stage.shell(session, 3, "cmp from/sub/file to/sub/file && test -L to/link")
    _rc(session, 3, 0, "the copy is not the same")
    stage.finish(session)
