"""Sees a build of Buildbot's to its end, which comes in any case.

`Build.startBuild` is "guaranteed to never errback" and does: it awaits the database at some twelve places, and takes
for granted after each that the worker still has its connection. Then nobody ends the build, or frees its worker or its
request. So three calls of each build are wrapped:

    startBuild      an error ends the build, RETRY where its agent was lost; so does a return without a first step
    stopBuild       remembers that somebody pressed Stop
    buildFinished   a Stop stays a Stop, whatever became of the agent; a removed builder can still complete its request

Source: process/build.py `startBuild`, `stopBuild`, `lostRemote`, `stepDone`, `buildFinished`; process/builder.py
`_startBuildFor`, `buildFinished`; process/botmaster.py `reconfigServiceBuilders`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from buildbot.process.results import CANCELLED, EXCEPTION, RETRY, worst_status
from twisted.internet import defer, task
from twisted.python import log as twisted_log
from twisted.python.failure import Failure

log = structlog.get_logger(__name__)

#: Seconds before a build that the database refused is given back, so that a broken database is not asked without pause.
PAUSE = 10.0


def preparation_step(build: Any) -> Any:
    """The step that a build shows while it waits for its worker; None: it has none (yet)."""
    return build._preparation_step


def used_secrets(build: Any) -> Mapping[str, str]:
    """Those that were rendered for this build so far: value -> "<name>"; a command of no build has none."""
    used: Mapping[str, str] = getattr(getattr(build, "properties", None), "_used_secrets", {})
    return used


def once_numbered(build: Any, reactor: Any, then: Callable[[], None]) -> None:
    """Call `then` as soon as the build has its id, in a later turn of the reactor.

    Not in the same one: in that Buildbot finds out whether the request was cancelled meanwhile. It stops such a build
    and then forgets it.
    """
    build.get_buildid().addCallback(lambda _: reactor.callLater(0, then))


def comes_to_nothing(build: Any) -> bool:
    """It will run no step."""
    return bool(build.stopped or build.finished or not getattr(build, "do_build", True))  # `do_build`: from 4.3 on


class SupervisedBuild:
    """`of(build)` wraps a build once; `has_agent` is set when Buildbot has an agent for it."""

    def __init__(self, build: Any) -> None:
        self._build = build
        self.has_agent = False
        self._cancelled = False
        self._ends = False
        self._start, self._stop, self._finish = build.startBuild, build.stopBuild, build.buildFinished
        build.startBuild, build.stopBuild, build.buildFinished = self._started, self._stopped, self._finished
        build.amqp_supervised = self

    @staticmethod
    def of(build: Any) -> SupervisedBuild:
        """The one of this build, made where there is none."""
        found = getattr(build, "amqp_supervised", None)
        return found if isinstance(found, SupervisedBuild) else SupervisedBuild(build)

    @defer.inlineCallbacks
    def _started(self, workerforbuilder: Any) -> Any:
        build = self._build
        try:
            yield self._start(workerforbuilder)
        except Exception:
            yield self._failed_to_start(Failure())
            return
        if not build.finished and not build.executedSteps:
            # its request was cancelled while the build was made: Buildbot stops such a build and forgets it
            yield build.buildFinished(["cancelled"], CANCELLED)

    @defer.inlineCallbacks
    def _failed_to_start(self, failure: Failure) -> Any:
        build = self._build
        if self._ends:
            twisted_log.err(failure, "after the end of a build")
            return
        worker = build.workerforbuilder.worker
        if worker is None or (self.has_agent and worker.conn is None):
            log.warning("amqp.lost_before_first_step", builder=build.builder.name, build=build.number)
            yield self._end_preparation(RETRY, "lost connection")
            yield build.buildFinished(["lost", "connection"], RETRY)
        elif build.buildid is None:
            twisted_log.err(failure, "a build could not be made; its request is given back")
            yield task.deferLater(build.master.reactor, PAUSE)
            yield build.buildFinished(["build", "exception"], RETRY)
        else:
            twisted_log.err(failure, "while starting a build")
            yield self._end_preparation(EXCEPTION, "error while starting the build", failure)
            yield build.buildFinished(["build", "exception"], EXCEPTION)

    @defer.inlineCallbacks
    def _end_preparation(self, results: int, text: str, failure: Failure | None = None) -> Any:
        step, updates = preparation_step(self._build), self._build.master.data.updates
        if step is None or step.stepid is None:
            return
        try:
            if failure is not None:
                yield step.addLogWithFailure(failure)
            yield updates.setStepStateString(step.stepid, text)
            yield updates.finishStep(step.stepid, results, False)
        except Exception:
            twisted_log.err(None, "while ending a build's preparation step")

    def _stopped(self, reason: str = "<no reason given>", results: int = CANCELLED) -> Any:
        """One that comes while the end of a build is written down still ends the request."""
        build = self._build
        if results == CANCELLED:
            self._cancelled = True
            if build.finished and build.results == RETRY:
                build.results = CANCELLED
        return self._stop(reason, results)

    @defer.inlineCallbacks
    def _finished(self, text: list[str], results: int) -> Any:
        """Buildbot makes RETRY of each build whose connection is lost, and runs again what somebody stopped."""
        if self._ends:
            return
        self._ends = True
        build = self._build
        restore_builder(build)
        if self._cancelled and worst_status(build.results, results) == RETRY:
            build.results = results = CANCELLED
            text = ["cancelled", *text[1:]] if text[:1] == ["retry"] else text
        late = yield self._listen() if worst_status(build.results, results) == RETRY and build.buildid else None
        yield self._finish(text, results)
        if late is not None:
            late.stopConsuming()
        if build in build.builder.building:
            self._complete(results)

    def _listen(self) -> Any:
        """For a Stop while the end is written down, to which Buildbot does not listen any more."""
        key = ("control", "builds", str(self._build.buildid), "stop")
        return self._build.master.mq.startConsuming(lambda _, params: self._stopped(**params), key)

    def _complete(self, results: int) -> None:
        """What `buildFinished` was to do last, and did not come to: it ends with the first error."""
        build = self._build
        log.error("amqp.build_end_failed", builder=build.builder.name, build=build.number)
        build.finished = True
        build.results = worst_status(build.results, results)
        restore_builder(build)
        if build.workerforbuilder.isBusy():
            build.workerforbuilder.buildFinished()
        build.builder.buildFinished(build, build.workerforbuilder)


def restore_builder(build: Any) -> None:
    """A builder that a reconfig removed forgets its master, without which its builds get no locks and never end."""
    builder = build.builder
    if builder.master is None:
        builder.master, builder.botmaster = build.master, build.master.botmaster
