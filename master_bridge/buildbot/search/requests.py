"""What the bridge is asked for, and its keys: "br-<build request id>" of a build, "br-<id>/step-<number>" of a step,
"br-<id>/step-<number>/shard-<number>" of one of several commands of a step.

A pipeline's steps start in any order: their keys are made of the pipeline's step and the line, "br-<id>/step-7.12".
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet import defer, task

from contracts.messages import AgentLock
from master_bridge.buildbot.builddirs import component
from master_bridge.buildbot.search.preference import Wanted
from master_bridge.buildbot.search.seeker import Seeker
from master_bridge.core.inputs import Seek

#: Requests that are looked up in Buildbot's database in one second, whoever brought them up (rule 23). A master that
#: restarts under 1,000 sessions has looked all of them up within 5 s.
LOOK_UPS_A_SECOND = 200
_KEY = re.compile(r"br-(?P<id>[0-9]{1,18})(?:/step-[0-9]{1,9}(?:\.[0-9]{1,9}){0,12}(?:/shard-[0-9]{1,9})?)?")


def build_key(build: Any) -> str:
    """Stable across restarts of the master: Buildbot runs the same build request again as a new build."""
    return f"br-{build.requests[0].id}"


def step_key(build: Any, name: str | int, part: int | None = None) -> str:
    """Stable as `build_key`. `name`: the step's number, or what it is called where several start in any order, as in
    7.12. `part`: the shard's in a battery."""
    key = f"{build_key(build)}/step-{name}"
    return key if part is None else f"{key}/shard-{part}"


def seek_of(build: Any, seeker: Seeker, wanted: Wanted, locks: tuple[AgentLock, ...]) -> Seek:
    """An agent for `build`; a step replaces what it has of its own. `seeker` knows what is asked for just now."""
    builder = build.builder
    return Seek(
        request=build_key(build),
        run=build.buildid,
        kind="build",
        signature=seeker.signature,
        builddir=component(builder.config.workerbuilddir),
        title=f"{builder.name} #{build.number}",
        builder=builder.name,
        build_number=build.number,
        locks=locks,
        priority=build.requests[0].priority or 0,
        fencing=wanted.fencing,
        seal=seeker.seal,
    )


@defer.inlineCallbacks
def ran_before(master: Any, build: Any) -> Any:
    """Were there earlier builds of the build's request: is this a repetition after a restart or a lost worker?"""
    rows = yield master.data.get(("buildrequests", build.requests[0].id, "builds"))
    return any(row["buildid"] != build.buildid for row in rows)


@defer.inlineCallbacks
def is_complete(master: Any, request: str) -> Any:
    """Is the build request complete in Buildbot's database, unknown there, or no key at all?"""
    found = _KEY.fullmatch(request)
    if found is None:
        return True
    row = yield master.data.get(("buildrequests", int(found["id"])))
    return row is None or bool(row["complete"])


class LookUps:
    """`is_complete`, at most so many a second; those that came first are answered first."""

    def __init__(self, master: Any, *, a_second: int = LOOK_UPS_A_SECOND) -> None:
        self._master = master
        self._pause = 1.0 / a_second
        self._next = 0.0

    def is_complete(self, request: str) -> defer.Deferred[bool]:
        """The answer, once it is its turn. Fails as the database does."""
        reactor = self._master.reactor
        now = reactor.seconds()
        self._next = max(now, self._next + self._pause)
        result: defer.Deferred[bool] = task.deferLater(reactor, self._next - now, is_complete, self._master, request)
        return result
