"""Commands on files and folders: mkdir, rmdir, cpdir, stat, glob, listdir, rmfile (buildbot_worker/commands/fs.py)."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring

from worker_agent.keeper.commands.command import RemoteCommand
from worker_agent.keeper.file_thread import Interrupted
from worker_agent.keeper.host import AbandonChain
from worker_agent.keeper.limits import UPDATE_MAX
from worker_agent.keeper.processes.process import ProcessOptions

#: Seconds of silence after which `rm` and `cp` are killed, as Buildbot's worker.
_SILENCE = 120


def _make_folder(path: str) -> None:
    if not os.path.isdir(path):
        os.makedirs(path)


def _make_parent(path: str) -> None:
    if not os.path.exists(os.path.dirname(path)):
        os.makedirs(os.path.dirname(path))


class MakeDirectory(RemoteCommand):
    """Buildbot's `mkdir`: makes folders, with their parents."""

    reference = "MakeDirectory"
    required = ("paths",)

    async def run(self) -> None:
        for path in self.args["paths"]:
            try:
                await self.files.call(_make_folder, path)
            except OSError as error:
                self.failed("mkdir", error, path)
                return
        self.status("rc", 0)


class _Processes(RemoteCommand):
    """Commands that run system tools, with the time limits of their arguments."""

    async def tool(self, *command: str) -> int:
        options = ProcessOptions(
            send_rc=False,
            timeout=self.args.get("timeout", _SILENCE),
            max_time=self.args.get("maxTime"),
            log_environ=self.args.get("logEnviron", True),
        )
        return await self.execute(list(command), self.host.basedir, options)


class RemoveDirectory(_Processes):
    """Buildbot's `rmdir`: removes folders with all that is in them."""

    reference = "RemoveDirectory"
    required = ("paths",)

    async def run(self) -> None:
        rc = 0
        assert self.args["paths"]
        for path in self.args["paths"]:
            if self.interrupted:
                break
            rc = await self._remove(path) or rc
        self.status("rc", rc)

    async def _remove(self, path: str) -> int:
        """`rm -rf`; when that fails, because a folder in it may not be read or written, make it so and try again."""
        rc = await self.tool("rm", "-rf", path)
        if rc == 0 or self.interrupted:
            return rc
        if sys.platform.startswith("freebsd"):  # its `chmod -R` recurses before it changes the folder itself
            await self.tool("find", path, "-exec", "chmod", "u+rwx", "{}", ";")
        else:
            await self.tool("chmod", "-Rf", "u+rwx", path)
        if self.interrupted:
            return rc
        return await self.tool("rm", "-rf", path)


class CopyDirectory(_Processes):
    """Buildbot's `cpdir`: copies a folder."""

    reference = "CopyDirectory"
    required = ("to_path", "from_path")

    async def run(self) -> None:
        source, target = self.args["from_path"], self.args["to_path"]
        await self.files.call(_make_parent, target)
        verbose = () if sys.platform.startswith(("solaris", "sunos")) else ("-v",)
        try:
            rc = await self.tool("cp", "-R", "-P", "-p", *verbose, source, target)
        except AbandonChain as error:
            rc = error.rc
        self.status("rc", rc)


class StatFile(RemoteCommand):
    """Buildbot's `stat`: tells what `os.stat` says of a path."""

    reference = "StatFile"

    async def run(self) -> None:
        path = self.args["path"]
        try:
            found = await self.files.call(os.stat, path)
        except OSError as error:
            self.failed("stat", error, path)
            return
        self.status("stat", list(found))
        self.status("rc", 0)


class _Names(RemoteCommand):
    """Commands that answer with names of files."""

    async def names(self, header: str, find: Callable[[str], Iterable[str]]) -> None:
        """`find` gives them one after the other; it is left to itself when interrupted."""
        path = self.args["path"]
        try:
            found = await self.files.call(self._collect, header, path, find)
        except OSError as error:
            self.failed(header, error, path)
            return
        self.status("files", found)
        self.status("rc", 0)

    def _collect(self, header: str, path: str, find: Callable[[str], Iterable[str]]) -> list[str]:
        """In a thread. Names that are not of the file system's encoding have no form in JSON: their odd bytes become
        "?". Raises `OverflowError` for more than a message can carry."""
        found: list[str] = []
        count = size = 0
        for name in find(path):
            if self.interrupted:
                raise Interrupted
            text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            count, size = count + 1, size + len(encode_basestring(text).encode("utf-8")) + 1
            if size <= UPDATE_MAX:
                found.append(text)
        if size > UPDATE_MAX:
            raise OverflowError(
                f"{header}: {count} names of {path} are {size} bytes, more than the {UPDATE_MAX} of one message"
            )
        return found


class GlobPath(_Names):
    """Buildbot's `glob`: tells which paths match, `**` included."""

    reference = "GlobPath"
    required = ("path",)

    async def run(self) -> None:
        await self.names("glob", lambda path: glob.iglob(path, recursive=True))


class ListDir(_Names):
    """Buildbot's `listdir`: tells the names in a folder."""

    reference = "ListDir"

    async def run(self) -> None:
        await self.names("listdir", os.listdir)


class RemoveFile(RemoteCommand):
    """Buildbot's `rmfile`: removes one file."""

    reference = "RemoveFile"
    required = ("path",)

    async def run(self) -> None:
        path = self.args["path"]
        try:
            await self.files.call(os.remove, path)
        except OSError as error:
            self.failed("rmfile", error, path)
            return
        self.status("rc", 0)
