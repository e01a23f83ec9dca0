"""What commands of a pipeline that ran elsewhere came to, kept until their build request is complete.

A build that starts over after its master's death is answered from its agent's journal for what ran in its own folder.
A command elsewhere has a session of its own, which is over when the command is; so its result is written to Buildbot's
build data before its session is released, and its log is in the database already.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from buildbot.data.resultspec import Filter
from twisted.internet import defer

from contracts.pipeline.lines import PipelineLine
from master_bridge.buildbot.search.requests import ran_before

#: In Buildbot's table `build_data`: whose value it is.
SOURCE = "Pipeline"
#: Lines of a log that are copied in one piece.
PIECE = 5000


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """How a command ended in an earlier build of the request. `stepid`: where its logs are."""

    stepid: int
    result: int
    agent: str


def digest_of(line: PipelineLine) -> str:
    """The same for the same line only."""
    return sha256(line.model_dump_json().encode()).hexdigest()


class Memory:
    """Of one build. `load` comes first."""

    def __init__(self, build: Any) -> None:
        self._build = build
        self._master = build.master
        #: earlier builds of the request, the newest one last
        self._earlier: list[int] = []
        #: name of the datum -> newest earlier build that has it
        self._known: dict[str, int] = {}

    @defer.inlineCallbacks
    def load(self) -> Any:
        """Look into the earlier builds of the request."""
        if not (yield ran_before(self._master, self._build)):
            return
        builds = yield self._master.data.get(("buildrequests", self._build.requests[0].id, "builds"))
        self._earlier = sorted(build["buildid"] for build in builds if build["buildid"] != self._build.buildid)
        for each in self._earlier:
            for datum in (yield self._master.data.get(("builds", each, "data"))):
                if datum["source"] == SOURCE:
                    self._known[datum["name"]] = each

    @defer.inlineCallbacks
    def recall(self, work_name: str, digest: str) -> Any:
        """The `Remembered` of this very line, or None."""
        name = _name(work_name)
        if name not in self._known:
            return None
        datum = yield self._master.data.get(("builds", self._known[name], "data", name, "value"))
        found = json.loads(datum["raw"])
        if found.pop("digest") != digest:
            return None
        return Remembered(**found)

    @defer.inlineCallbacks
    def triggered(self, relationship: str) -> Any:
        """Ids of the build requests that an earlier build asked for under this name."""
        found = []
        if self._earlier:
            asked = [Filter("parent_buildid", "in", self._earlier), Filter("parent_relationship", "eq", [relationship])]
            for buildset in (yield self._master.data.get(("buildsets",), filters=asked)):
                of_it = [Filter("buildsetid", "eq", [buildset["bsid"]])]
                requests = yield self._master.data.get(("buildrequests",), filters=of_it)
                found += [request["buildrequestid"] for request in requests]
        return found

    @defer.inlineCallbacks
    def keep(self, work_name: str, digest: str, outcome: Remembered) -> Any:
        """Written when this fires."""
        value = {"digest": digest, "stepid": outcome.stepid, "result": outcome.result, "agent": outcome.agent}
        yield self._master.data.updates.setBuildData(
            self._build.buildid, _name(work_name), json.dumps(value).encode(), SOURCE
        )

    @defer.inlineCallbacks
    def copy_logs(self, outcome: Remembered, step: Any) -> Any:
        """Into `step`, which ends without a command."""
        for log in (yield self._master.data.get(("steps", outcome.stepid, "logs"))):
            copy = yield step.addLog(log["name"], type=log["type"])
            for first in range(0, log["num_lines"], PIECE):
                last = min(first + PIECE, log["num_lines"]) - 1
                yield copy.addRawLines((yield self._master.db.logs.getLogLines(log["logid"], first, last)))


def _name(work_name: str) -> str:
    return f"pipeline-{work_name.replace('.', '-')}"
