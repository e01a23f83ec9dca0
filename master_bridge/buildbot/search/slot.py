"""One build's search for an agent and its stay there: the bridge's `Client` for an `AMQPLatentWorker`.

What it asks the bridge for, and until when, is its `Search`'s (search.py); whether Buildbot has asked is its own.

Buildbot hears nothing of a slot before `begin` (`start_instance`), though an agent may have been found for it by then
(early.py); so a slot that is over before was never there for Buildbot. `stop_instance` ends it, and it is over once.
"""

from __future__ import annotations

import posixpath
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import structlog
from buildbot.interfaces import LatentWorkerCannotSubstantiate
from buildbot.process.results import CANCELLED, RETRY
from twisted.internet import defer
from twisted.python.failure import Failure

from contracts.requirements.sets import Requirements
from contracts.timing import LIVES
from master_bridge.buildbot.builddirs import component
from master_bridge.buildbot.internals import registrations, stopping
from master_bridge.buildbot.internals.builds import preparation_step
from master_bridge.buildbot.locks import agent_locks
from master_bridge.buildbot.output.room import Shortage
from master_bridge.buildbot.search import requests
from master_bridge.buildbot.search.naming import SOURCE, Naming, agent_properties, found_text
from master_bridge.buildbot.search.preference import Wanted
from master_bridge.buildbot.search.search import Search
from master_bridge.buildbot.search.seeker import Seeker
from master_bridge.buildbot.sessions.connection import AMQPConnection, capability_property
from master_bridge.buildbot.sessions.running import RunningCommand
from master_bridge.buildbot.sessions.session import BuildSession
from master_bridge.core.actions import Holder

log = structlog.get_logger(__name__)

#: Seconds for which nothing is said of a wait. Most waits are over sooner, and each text takes six calls of Buildbot's
#: database, beside those by which the build starts.
QUIET = 0.5
#: Seconds for which a build's output waits for room on the master's disk, before the build gives its agent back.
PATIENCE = 30.0
#: Seconds for which an agent is sought, and then held, for a build that Buildbot does not begin: it takes 50 ms for
#: that, or has dropped the build after an error of its database or of the configuration.
EARLY = 10.0


class Worker(Protocol):
    """What a slot needs of its latent worker."""

    name: str
    master: Any

    def attached(self, conn: Any) -> defer.Deferred[Any]:
        """From Buildbot: `conn` is there, and the worker's builders learn of it."""

    def cannot_substantiate(self, failure: Failure) -> None:
        """From Buildbot: no agent will come, and why."""

    def is_removed(self) -> bool:
        """A reconfig took it away; a build of its may still run."""


class Asked(Enum):
    """What Buildbot knows of a build's search."""

    #: nothing: it has not asked for an agent
    NOT_YET = "not yet"
    #: it waits; people are not told yet
    QUIETLY = "quietly"
    #: it waits, and people are told for what
    ALOUD = "aloud"


@dataclass(frozen=True)
class FoundAgent:
    """The agent that was found."""

    connection: AMQPConnection
    session: BuildSession
    #: it goes on with what it ran before the master's restart
    adopted: bool
    naming: Naming


class Slot:
    """`broker` is the master's `AMQPBroker`, `build` Buildbot's build."""

    def __init__(
        self,
        *,
        worker: Worker,
        broker: Any,
        build: Any,
        wanted: Wanted,
    ) -> None:
        self._worker = worker
        self._broker = broker
        self._build = build
        self._master = worker.master
        self.request = requests.build_key(build)
        self._seeker = Seeker(
            broker=broker,
            reactor=worker.master.reactor,
            client=self,
            search=Search(wanted),
            seek_of=lambda: requests.seek_of(build, self._seeker, wanted, agent_locks(build, worker)),
            say=self._say_waiting,
        )
        self._asked = Asked.NOT_YET
        #: why no agent will ever come, where that is known
        self._refusal = ""
        self._found: FoundAgent | None = None

    # -- asked by the worker ------------------------------------------------------------------------------------------

    @property
    def signature(self) -> str:
        return self._seeker.signature

    @property
    def state(self) -> str:
        """The bridge's state of the request."""
        return self._seeker.state

    @property
    def since(self) -> float:
        """Seconds since the epoch."""
        return self._seeker.since

    @property
    def waiting(self) -> bool:
        """For Buildbot, too: so there is something to tell of it."""
        return self.begun and self._seeker.looking

    @property
    def place(self) -> str:
        """The worker whose build it is for."""
        return self._worker.name

    @property
    def session(self) -> BuildSession | None:
        return None if self._found is None else self._found.session

    @property
    def over(self) -> bool:
        return self._seeker.over

    @property
    def begun(self) -> bool:
        """Buildbot has asked for an agent."""
        return self._asked is not Asked.NOT_YET

    def seek(self) -> None:
        """Ask the bridge for an agent; the build has its id."""
        self._seeker.begin()

    def begin(self) -> None:
        """`start_instance`: Buildbot takes an agent from now on, the one that was found already first of all."""
        self._asked = Asked.QUIETLY
        if self._refusal:
            self._give_up(self._refusal)
        elif self._found is not None:
            self._hand_over(self._found)
        else:
            self._master.reactor.callLater(QUIET, self._speak)

    def reroute(self, requirements: Requirements, seal: bool = False) -> None:
        """The configuration changed. A build that runs is not touched; one that must move prefers nothing any more."""
        self._seeker.reroute(requirements, seal)

    def leave(self) -> None:
        """`stop_instance`, or a build that comes to nothing before: Buildbot wants no agent (any more)."""
        if self._found is not None:
            self._found.connection.disconnect()
        elif not self.over:
            # in a quick stop the offer stays for the next start: an agent may be on the way to it
            keeps = self.keeps_session() or self._comes_again()
            self._seeker.leave(keep=keeps)

    def quick_stop(self) -> None:
        """The build is lost before its step is interrupted: so it is RETRY, whatever its step was at."""
        if self._found is not None and self.keeps_session():
            self._found.connection.disconnect()

    # -- the connection's owner ---------------------------------------------------------------------------------------

    def leave_session(self) -> None:
        self._seeker.leave(keep=self.keeps_session() or self._moves_on() or self._comes_again())

    def keeps_session(self) -> bool:
        """The master stops quickly: what runs goes on for its next start."""
        return stopping.keeps_session(self._master, self._build)

    def build_starts(self) -> None:
        """Property `builddir` is where the agent runs the build, also when that is not `workerbuilddir` itself."""
        asked = self._build.builder.config.workerbuilddir
        if self._found is not None and component(asked) != asked:
            folder = posixpath.join(self._found.session.holder.worker.basedir, component(asked))
            self._build.setProperty("builddir", folder, "Worker")
        if self._found is not None:
            self._found.naming.build_starts()

    def command_starts(self) -> None:
        if self._found is not None:
            self._found.naming.command_starts()

    def is_stopping(self) -> bool:
        """The master shuts down."""
        return bool(self._master.botmaster.shuttingDown or not self._master.running)

    def _moves_on(self) -> bool:
        """A reconfig removed this worker from under its build: Buildbot repeats it on another, which takes over."""
        builder = self._build.builder
        return (
            self._worker.is_removed()
            and not self._build.finished
            and not self._build.stopped
            and any(
                name != self._worker.name and registrations.serves(name, builder, self._master.botmaster)
                for name in builder.config.workernames
            )
        )

    def _comes_again(self) -> bool:
        """It has not begun, and Buildbot will ask once more for its request: for a new build, or only later.

        Then what an agent ran before the master's restart goes on; an agent that has run nothing is set free.
        """
        if self.begun or (self._found is not None and not self._found.adopted):
            return False
        return bool(self._build.results == RETRY if self._build.finished else not self._build.stopped)

    # -- told by the bridge -------------------------------------------------------------------------------------------

    def state_changed(self, state: str) -> None:
        """From the bridge: its state of the request."""
        self._seeker.state = state
        self.refresh()

    def _speak(self) -> None:
        self._asked = Asked.ALOUD
        self.refresh()

    def refresh(self) -> None:
        if not self.begun:
            if self._build.stopped or time.time() - self.since > EARLY:
                log.warning(
                    "amqp.build_not_started", request=self.request, detail="Buildbot does not ask for what was sought"
                )
                self.leave()
        elif self.waiting and self._asked is Asked.ALOUD:
            self._seeker.refresh()

    def attach(self, holder: Holder, adopted: bool) -> None:
        if self.over:
            return
        self._seeker.found()
        log.info("amqp.attached", request=self.request, agent=holder.agent, adopted=adopted, early=not self.begun)
        session = BuildSession(
            reactor=self._master.reactor,
            bridge=self._broker.bridge,
            request=self.request,
            holder=holder,
            owner=self,
        )
        connection = AMQPConnection(name=self._worker.name, session=session, owner=self, reactor=self._master.reactor)
        text = found_text(holder, self._seeker.requirements, waited=time.time() - self.since, adopted=adopted)
        self._found = FoundAgent(connection, session, adopted, Naming(self._master, self._build, holder, text))
        if self.begun:
            self._hand_over(self._found)

    def _hand_over(self, found: FoundAgent) -> None:
        """To Buildbot, which refuses it before `start_instance`; and each property set before is a transaction more."""
        connection, holder = found.connection, found.session.holder
        properties = self._build.getProperties()
        properties.updateFromProperties(agent_properties(holder))
        properties.setProperty("capabilities", capability_property(holder.capabilities), SOURCE)
        self._attach(connection).addErrback(self._attach_failed, connection)

    @defer.inlineCallbacks
    def _attach(self, connection: AMQPConnection) -> Any:
        yield self._master.workers.newConnection(connection, self._worker.name)
        yield self._worker.attached(connection)

    def _attach_failed(self, failure: Failure, connection: AMQPConnection) -> None:
        log.warning("amqp.attach_failed", request=self.request, reason=failure.getErrorMessage())
        connection.disconnect()

    def lost(self, reason: str) -> None:
        log.warning("amqp.build_lost_agent", request=self.request, reason=reason)
        if not self.begun:
            self._forget_agent()
            self._seeker.lost()
            self.seek()
        elif self._found is not None:
            self._seeker.end()
            self._found.connection.lose(f"{reason}; the build runs again").addBoth(lambda _: self._name_reason(reason))

    def abandoned(self, reason: str) -> None:
        log.error("amqp.build_given_up", request=self.request, reason=reason)
        if not self.begun:
            self._forget_agent()
            self._seeker.refused()
            self._refusal = reason
        else:
            self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        if self._found is not None:
            self._found.connection.fail(reason)
        elif not self.over:
            self._seeker.end()
            self._worker.cannot_substantiate(Failure(LatentWorkerCannotSubstantiate(self._worker.name, reason)))

    def _forget_agent(self) -> None:
        """The bridge has ended its session, before Buildbot heard of it."""
        found, self._found = self._found, None
        if found is not None:
            found.connection.disconnect(leave=False)

    def cancelled_earlier(self, reason: str) -> None:
        self._build.stopBuild(reason, CANCELLED)

    # -- the session's owner ------------------------------------------------------------------------------------------

    patience: float | None = PATIENCE

    def shortage(self) -> Shortage | None:
        shortage: Shortage | None = self._broker.room.shortage()
        return shortage

    def infrastructure_failed(self, running: RunningCommand, reason: str) -> None:
        """What the machine did is not the command's result: run the build elsewhere, but not for ever."""
        assert self._found is not None, "only a session tells of that"
        connection = self._found.connection
        count = self._broker.count_infrastructure_failure(self.request)
        log.warning("amqp.infrastructure_failure", request=self.request, reason=reason, count=count)
        if count >= LIVES:
            connection.fail(f"{reason}; it is failure number {count} of this kind, so the build is given up")
        else:
            connection.disconnect()
            self._name_reason(reason)

    # -- what people read ---------------------------------------------------------------------------------------------

    def _name_reason(self, reason: str) -> None:
        if not self._build.finished:
            self._build.text = [reason]

    @defer.inlineCallbacks
    def _say_waiting(self, text: str) -> Any:
        step = preparation_step(self._build)
        if self.waiting and step is not None and step.stepid is not None:
            yield self._master.data.updates.setStepStateString(step.stepid, text)
            if self.waiting:  # else Buildbot has said meanwhile what the build does now
                yield self._master.data.updates.setBuildStateString(self._build.buildid, text)
