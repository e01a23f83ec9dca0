"""What a machine needs before it runs shards: an archive of the build's folder, and steps; once for each revision."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import structlog
from buildbot.process.remotecommand import RemoteCommand, RemoteShellCommand
from buildbot.process.remotetransfer import FileReader, FileWriter
from buildbot.process.results import SUCCESS, WARNINGS
from twisted.internet import defer, threads

from master_bridge.buildbot.battery.scripts import Places, pack
from master_bridge.buildbot.battery.store import Store
from master_bridge.buildbot.internals.nested_steps import run_nested
from master_bridge.core.actions import Holder

log = structlog.get_logger(__name__)

ARCHIVE = "archive"
#: Bytes of an archive, and of one piece of it.
ARCHIVE_MAX = 16 * 1024**3
BLOCK = 256 * 1024
#: Where the build's own worker makes it, seen from the folder that it is of.
_MADE = "../battery-archive.tar.gz"


class NotPrepared(Exception):
    """A machine, or the archive, could not be prepared; the message says why."""


class Preparation:
    """`wanted`: "archive" and step templates, in order. `key` names the result; it is "" when nothing is wanted."""

    def __init__(self, step: Any, wanted: list[Any], store: Store) -> None:
        self._step = step
        self._store = store
        self._wanted = [item for item in wanted if item != ARCHIVE]
        self.archived = ARCHIVE in wanted
        self._nothing = not wanted
        self.key = ""
        #: agent's instance -> held while it fetches, so that its other slots need not
        self._fetching: dict[str, defer.DeferredLock] = {}
        self._fetched: set[str] = set()
        self._revisions = revisions(step.build)

    @defer.inlineCallbacks
    def begin(self) -> Any:
        """Make the archive, once, on the build's own worker; choose the key. Raises `NotPrepared`."""
        if self._nothing:
            return
        content = ""
        if self.archived:
            yield self._make_archive()
            if not self._revisions:
                content = yield threads.deferToThread(_digest, str(self._store.archive))
        self.key = self._key(content)

    def _key(self, content: str) -> str:
        """The same for the same revision, of this step: agents' folders outlive builds."""
        build = self._step.build
        patches = [source.patch[:2] for source in build.sources if source.patch]
        parts: list[Any] = [build.builder.name, str(self._step.name), self._revisions, content, self.archived]
        parts += [str(item) for item in self._wanted]
        if not self._revisions and not self.archived:
            parts.append(build.requests[0].id)  # whatever is the latest: it is fetched for each build
        text = json.dumps([parts, [str(patch) for patch in patches]], default=str, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]

    @defer.inlineCallbacks
    def _make_archive(self) -> Any:
        step, path = self._step, self._store.archive
        made = RemoteShellCommand(step.workdir, pack(_MADE), logEnviron=False, usePTY=False, stdioLogName="archive")
        packing = yield step.addLog("archive")
        made.useLog(packing, False)
        yield step.runCommand(made)
        if made.rc != 0:
            raise NotPrepared(f"the build's folder could not be packed (exit status {made.rc}); see the log “archive”")
        writer = FileWriter(f"{path}.new", ARCHIVE_MAX, 0o600)
        args = {
            "workersrc": _MADE, "workdir": step.workdir, "writer": writer,
            "maxsize": ARCHIVE_MAX, "blocksize": BLOCK, "keepstamp": False,
        }  # fmt: skip
        upload = RemoteCommand("uploadFile", args)
        upload.useLog(packing, False, "stdio")
        yield step.runCommand(upload)
        if upload.rc != 0:
            writer.cancel()
            raise NotPrepared("the archive of the build's folder could not be uploaded; see the log “archive”")
        path.with_name(f"{path.name}.new").replace(path)

    # ---- on an agent

    @defer.inlineCallbacks
    def prepare(self, places: Places, connection: Any, holder: Holder, asks: str, noted: str | None) -> Any:
        """Raises `NotPrepared`. `asks`: "fetch" or "unpack", as the machine says; `noted`: what was done before the
        master's restart, which is repeated, since the agent's journal has it."""
        if self.archived:
            yield self._fetch(places, connection, holder, asks, noted)
            unpack = RemoteShellCommand(".", places.unpack(), logEnviron=False, usePTY=False, stdioLogName=None)
            yield self._run(unpack, connection)
            if unpack.rc != 0:
                raise NotPrepared(f"{holder.agent} could not unpack the archive (exit status {unpack.rc})")
        for template in self._wanted:
            result = yield run_nested(
                template, parent=self._step, connection=connection, holder=holder, revisions=self._revisions
            )
            if result not in (SUCCESS, WARNINGS):
                raise NotPrepared(f"{template} failed on {holder.agent}; its log is one of this step's")

    @defer.inlineCallbacks
    def _fetch(self, places: Places, connection: Any, holder: Holder, asks: str, noted: str | None) -> Any:
        lock = self._fetching.setdefault(holder.instance, defer.DeferredLock())
        yield lock.acquire()
        try:
            how = noted or ("unpack" if holder.instance in self._fetched else asks)
            self._store.note(json.dumps({"t": "note", "session": holder.session, "how": how}))
            if how == "fetch":
                yield self._download(places, connection, holder)
            self._fetched.add(holder.instance)
        finally:
            lock.release()

    @defer.inlineCallbacks
    def _download(self, places: Places, connection: Any, holder: Holder) -> Any:
        args = {
            "workdir": ".", "workerdest": places.archive, "reader": FileReader(self._store.archive.open("rb")),
            "maxsize": None, "blocksize": BLOCK, "mode": None,
        }  # fmt: skip
        download = RemoteCommand("downloadFile", args, stdioLogName=None)
        yield self._run(download, connection)
        if download.rc != 0:
            raise NotPrepared(f"{holder.agent} could not fetch the archive (exit status {download.rc})")
        log.info("amqp.battery_archive_fetched", agent=holder.agent, key=places.key)

    def _run(self, command: RemoteCommand, connection: Any) -> Any:
        command.worker = self._step.worker
        return command.run(self._step, connection, self._step.build.builder.name)

    def noted(self, session: str) -> str | None:
        """What this session's machine was told before the master's restart."""
        for line in self._store.notes():
            if session in line:
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if row.get("t") == "note" and row.get("session") == session:
                    return str(row["how"])
        return None


def revisions(build: Any) -> dict[str, str]:
    """By codebase: of the source stamp, else as a source step of the build found it; none where neither says."""
    got = build.getProperty("got_revision")
    found = {}
    for source in build.sources:
        revision = source.revision or (got.get(source.codebase) if isinstance(got, dict) else got)
        if revision:
            found[source.codebase] = str(revision)
    return found


def _digest(path: str) -> str:
    sums = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1024 * 1024), b""):
            sums.update(block)
    return sums.hexdigest()
