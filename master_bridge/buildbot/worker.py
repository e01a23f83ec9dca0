"""`AMQPLatentWorker`: a slot of a builder column that any qualified agent can serve.

c['workers'] = worker.amqp_column("gtk", workers=8, requires=["gtk>=3", "python2.3"])
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import structlog
from buildbot import config
from buildbot.interfaces import IWorker, LatentWorkerCannotSubstantiate, LatentWorkerFailedToSubstantiate
from twisted.internet import defer
from twisted.python.failure import Failure
from zope.interface import implementer

from contracts.requirements.sets import Requirements
from master_bridge.buildbot.broker_of_master import broker_of
from master_bridge.buildbot.internals import choosing, registrations
from master_bridge.buildbot.internals.builds import SupervisedBuild, preparation_step, restore_builder
from master_bridge.buildbot.internals.latent import QuietLatentWorker
from master_bridge.buildbot.search.early import EarlySearch, crowded
from master_bridge.buildbot.search.preference import PREFER_SECONDS, Preference, Wanted, preference
from master_bridge.buildbot.search.slot import Slot
from master_bridge.buildbot.worker_settings import (
    NOTICE_MINUTES,
    POSITIONAL,
    STRICT_FENCING,
    asked,
    passed_on,
    texts,
    wrong_settings,
)

log = structlog.get_logger(__name__)

#: Buildbot asks a starting latent worker at this interval (s) whether it still lives; ours just waits in a queue.
CHECK_INTERVAL = 3600
#: What the preparation step of a build says that a reconfig took its slot from.
TAKEN_AWAY = (
    "a reconfiguration removed the build's builder, or took this worker from it, while the build waited for an agent; "
    "its request waits until the builder is there again or has another worker"
)


class AMQPLatentWorker(QuietLatentWorker):
    """A worker of Buildbot's that any qualified agent serves, one build at a time. `amqp_column` makes several.

    Args:
        name (text): Buildbot's name of this worker, unique in the master.
        requires (list of texts): What an agent must offer, as in ["gtk>=3", "python2.3"]; an empty list: any agent.
        prefers (list of texts): What an agent should offer as well. Such an agent is waited for, for `prefer_seconds`;
            then any that offers what is required is taken.
        prefer_seconds (number; seconds): So long an agent that offers what is preferred is waited for.
        seal (True or False): True: commands, output and files are encrypted, so that nobody reads them at the broker.
            Its builds go to agents with the capability `sealing` only. docs/how-to/security.md says what it hides.
        fencing (None or "strict"): With "strict" an agent without contact ends what runs before the build runs
            elsewhere, so that the two never overlap.
        notify_after_minutes (number; minutes): When no agent has qualified for so long, a waiting build warns in the
            master's log, and by mail to `notify_on_missing`.
        notify_on_missing (text or list of texts): Mail addresses for that warning.
        properties (dictionary): Properties of builds on this worker, as for each of Buildbot's workers.
        defaultProperties (dictionary): The same, where nothing else sets the property.
        locks (list of lock accesses): Held by a build while it is on this worker, as for each of Buildbot's workers.
    """

    #: by which a configuration is known to need a broker
    amqp_worker = True

    def checkConfig(
        self,
        name: Any,
        *positional: Any,
        requires: Any = (),
        fencing: Any = None,
        notify_after_minutes: Any = NOTICE_MINUTES,
        prefers: Any = (),
        prefer_seconds: Any = PREFER_SECONDS,
        seal: Any = False,
        **kwargs: Any,
    ) -> None:
        def wrong(text: str) -> None:
            config.error(f"AMQPLatentWorker {name!r}: {text}")

        if not isinstance(name, str) or not name:
            wrong("name: a text that is not empty")
            name = "unnamed"
        if positional:  # not shown: a password, by the habit of Buildbot's workers
            wrong(POSITIONAL)
        problems = list(
            wrong_settings(
                requires=requires,
                fencing=fencing,
                notify_after_minutes=notify_after_minutes,
                prefers=prefers,
                prefer_seconds=prefer_seconds,
                seal=seal,
                **kwargs,
            )
        )
        for problem in problems:
            wrong(problem)
        kwargs = passed_on(kwargs)
        super().checkConfig(
            name,
            None,
            build_wait_timeout=0,
            check_instance_interval=CHECK_INTERVAL,
            max_builds=1,
            missing_timeout=None,
            **kwargs,
        )
        self._slot: Slot | None = None
        #: of the next build, while the one before may still have its slot
        self._early: EarlySearch | None = None
        # from the first moment on: the catalogue is told while Buildbot still configures its workers, one by one
        #: rule 24 of docs/protocol.md
        self.seal = seal is True
        self._requirements = Requirements() if problems else Requirements.of(asked(requires, self.seal))
        self._preference: Preference | None = (
            None if problems else preference(asked(requires, self.seal), texts(prefers), prefer_seconds)
        )
        self._fencing: float | None = None
        self._notify_after = NOTICE_MINUTES * 60
        self._removed = False
        self._broker: Any = None
        #: pair with a builder -> its build, from `buildStarted` to `buildFinished`; at most one
        self._builds: dict[Any, Any] = {}

    @defer.inlineCallbacks
    def reconfigService(
        self,
        name: Any,
        *,
        requires: Any = (),
        fencing: Any = None,
        notify_after_minutes: float = NOTICE_MINUTES,
        prefers: Any = (),
        prefer_seconds: float = PREFER_SECONDS,
        seal: bool = False,
        **kwargs: Any,
    ) -> Any:
        """A build that waits moves to the new requirements' queue; one that runs is left alone."""
        self.seal = seal
        self._requirements = Requirements.of(asked(requires, seal))
        self._preference = preference(asked(requires, seal), texts(prefers), prefer_seconds)
        self._fencing = STRICT_FENCING if fencing == "strict" else None
        self._notify_after = notify_after_minutes * 60
        yield super().reconfigService(
            name,
            None,
            build_wait_timeout=0,
            check_instance_interval=CHECK_INTERVAL,
            max_builds=1,
            missing_timeout=None,
            **kwargs,
        )
        self._broker = yield broker_of(self.master)
        for search in (self._slot, self._early):
            if search is not None:
                search.reroute(self._requirements, self.seal)
        self._broker.columns_changed()

    @defer.inlineCallbacks
    def reconfigured(self) -> Any:
        yield self.updateWorker()
        for build in list(self._builds.values()):
            restore_builder(build)
            if not self._serves(build):
                self._taken_away(build)

    def guard(self, builders: Iterable[Any]) -> None:
        for builder in builders:
            if choosing.guard(builder, lambda worker: isinstance(worker, AMQPLatentWorker)):
                self._broker.look_for_builds(builder.name)

    def _serves(self, build: Any) -> bool:
        return registrations.serves(self.name, build.builder, self.master.botmaster)

    def _taken_away(self, build: Any) -> None:
        """A build that has its agent goes on to its end; one that waits ends, and its request is free again."""
        if self.conn is not None:
            return
        self._end_early()
        if self.waits_for_machine:
            log.info(
                "amqp.worker_released_by_buildbot", worker=self.name, builder=build.builder.name, build=build.number
            )
            self.end_wait(Failure(LatentWorkerFailedToSubstantiate(self.name, TAKEN_AWAY)))

    @defer.inlineCallbacks
    def updateWorker(self) -> Any:
        registrations.update(self, self._builds, self._broker.look_for_builds)
        self.guard(self.botmaster.getBuildersForWorker(self.name))
        yield super().updateWorker()
        for pair in self._builds:
            # of a builder that Buildbot does not list any more
            if self.conn is not None and pair.remoteCommands is None:
                yield pair.attached(self, self.worker_commands)

    @property
    def building(self) -> set[Any]:
        """Also builds of builders that a reconfig removed."""
        return set(self._builds)

    @property
    def preferred_signature(self) -> str | None:
        """Names the queue that they wait in first; None: they prefer nothing."""
        return self._preference.requirements.signature if self._preference is not None else None

    @property
    def requirements(self) -> Requirements:
        """What an agent must offer."""
        return self._requirements

    @property
    def signature(self) -> str:
        """Names the queue that this slot's builds wait in."""
        return self._requirements.signature

    # -- latent worker ------------------------------------------------------------------------------------------------

    def buildStarted(self, wfb: Any) -> None:
        """`_startBuildFor` has made a build and starts it next; it is the builder's newest."""
        super().buildStarted(wfb)
        build = self._builds[wfb] = wfb.builder.building[-1]
        SupervisedBuild.of(build)
        self._end_early()
        if not self._removed:
            self._early = EarlySearch(build, self.master.reactor, self._early_slot)

    def attached(self, conn: Any) -> Any:
        for build in self._builds.values():
            SupervisedBuild.of(build).has_agent = True
        return super().attached(conn)

    def _early_slot(self, build: Any) -> Slot | None:
        bridge = self._broker.bridge if self._broker is not None else None
        return None if bridge is None or crowded(bridge.clients.values()) else self._slot_of(build)

    def _slot_of(self, build: Any) -> Slot:
        wanted = Wanted(
            requirements=self._requirements, preference=self._preference, seal=self.seal, fencing=self._fencing
        )
        return Slot(worker=self, broker=self._broker, build=build, wanted=wanted)

    def _end_early(self) -> None:
        early, self._early = self._early, None
        if early is not None:
            early.end()

    def start_instance(self, build: Any) -> defer.Deferred[bool]:
        """Look for an agent, or take the one found early. Never waits: a pending start cannot be stopped."""
        early, self._early = self._early, None
        found = early.take(build) if early is not None else None
        slot = self._slot = found or self._slot_of(build)
        if not self._serves(build):
            self.master.reactor.callLater(0, self._taken_away, build)
        elif build.stopped:
            self.master.reactor.callLater(0, self._call_off, build)
        elif (refusal := choosing.refusal(build)) is not None:
            self.master.reactor.callLater(0, self._refuse, refusal)
        else:
            slot.begin()
            if found is None:
                slot.seek()
            self._say(build, choosing.note(build))
        return defer.succeed(True)

    def _refuse(self, reason: str) -> None:
        if self.waits_for_machine:
            self.cannot_substantiate(Failure(LatentWorkerCannotSubstantiate(self.name, reason)))

    def _say(self, build: Any, text: str | None) -> None:
        """In a log of its first step."""
        step = preparation_step(build)
        if text is not None and step is not None:
            said = step.addCompleteLog("choice of the worker", text)
            said.addErrback(
                lambda failure: log.warning("amqp.choice_log_not_written", reason=failure.getErrorMessage())
            )

    def _call_off(self, build: Any) -> None:
        """A Stop, or `buildbot stop`, before Buildbot asked for an agent: it asks all the same, and would wait."""
        if self.waits_for_machine and not build.finished:
            build.workerforbuilder.insubstantiate_if_needed()

    def stop_instance(self, fast: bool = False) -> defer.Deferred[bool]:
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.leave()
        return defer.succeed(True)

    @defer.inlineCallbacks
    def stopService(self) -> Any:
        self._removed = True
        self._end_early()
        yield super().stopService()

    def disconnect(self) -> None:
        """By Buildbot, when this worker is removed or the master stops."""
        if self._builds or not self.rests:
            super().disconnect()
        else:
            registrations.leave(self)

    def is_removed(self) -> bool:
        return self._removed

    def buildFinished(self, wfb: Any) -> None:
        """Of each build, also of one that never asked for an agent.

        A slot that a reconfig removed under its build has no master any more, which Buildbot overlooks. The builder,
        which it tells next, may be removed, too.
        """
        build = self._builds.pop(wfb, None)
        if build is not None:
            restore_builder(build)
        self._end_early()
        if self.master is not None:
            super().buildFinished(wfb)

    def putInQuarantine(self) -> None:
        """Never: the next build may have another agent, so this slot is not to blame."""

    def canStartBuild(self) -> bool:
        """No new build while the master's own disk is full; `Room.look` asks again when it is not any more."""
        if self._builds or not super().canStartBuild():
            return False
        return self._broker is None or not self._broker.room.lately_short()

    # -- Buildbot's worker page ---------------------------------------------------------------------------------------

    @defer.inlineCallbacks
    def shutdown(self) -> Any:
        """Kill: the running build loses its agent, and so is repeated elsewhere; a waiting one goes on waiting."""
        if self.conn is None:
            log.info("amqp.kill_without_build", worker=self.name, detail="nothing runs in this slot")
            return
        yield self.conn.remoteShutdown()

    # -- nobody qualifies ---------------------------------------------------------------------------------------------

    def notice_due(self) -> float | None:
        """Seconds since the epoch from which on a build that still waits in vain is worth a warning."""
        slot = self._slot
        return slot.since + self._notify_after if slot is not None and slot.waiting else None

    def send_notice(self, text: str) -> None:
        """As Buildbot tells of a missing worker, through its reporters."""
        log.warning("amqp.no_agent_qualifies", worker=self.name, needs=self.signature, detail=text)
        if self.notify_on_missing:
            self.finish_before_stop(
                self.master.data.updates.workerMissing(
                    workerid=self.workerid,
                    masterid=self.master.masterid,
                    last_connection=f"{time.ctime()}: {text}",
                    notify=self.notify_on_missing,
                )
            )


@implementer(IWorker)  # of what it makes: Buildbot's plugin loader lets nothing else into `plugins.worker`
def amqp_column(name: str, workers: int = 8, requires: Iterable[str] = (), **kwargs: Any) -> list[AMQPLatentWorker]:
    """Workers for one builder column, named `<name>-1` to `<name>-<workers>`, with equal settings.

    Takes every argument of `AMQPLatentWorker`, too, and gives it to each of them. A list comes back: put it into
    `c["workers"]`, and the names into the builder's `workernames`.

    Args:
        name (text): First part of the workers' names.
        workers (whole number; workers): How many builds of this column may run at the same time; 1 or more.
        requires (list of texts): What an agent must offer, as in ["gtk>=3", "python2.3"]; an empty list: any agent.
    """
    if not isinstance(name, str) or not name:
        config.error("amqp_column: name: a text that is not empty")
        name = "unnamed"
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        shown = repr(workers) if isinstance(workers, (int, float)) else type(workers).__name__  # perhaps a password
        config.error(f"amqp_column {name!r}: workers: a whole number from 1 on, not {shown}")
        workers = 1
    problems = list(wrong_settings(requires=requires, **kwargs))
    for problem in problems:
        config.error(f"amqp_column {name!r}: {problem}")
    if problems:  # told once for the column, not once a slot; the slots' names are needed all the same
        requires, kwargs = (), {}
    return [AMQPLatentWorker(f"{name}-{number}", requires=requires, **kwargs) for number in range(1, workers + 1)]
