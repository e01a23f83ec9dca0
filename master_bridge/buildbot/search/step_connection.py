"""What a step's remote command runs over when the command itself is the unit of work (a command offer)."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import structlog
from buildbot.process.remotecommand import RemoteCommand
from twisted.internet import defer, error
from twisted.python.failure import Failure

from contracts.timing import LIVES
from master_bridge.buildbot.internals import stopping
from master_bridge.buildbot.locks import agent_locks
from master_bridge.buildbot.output.room import Shortage
from master_bridge.buildbot.search import requests
from master_bridge.buildbot.search.preference import Wanted
from master_bridge.buildbot.search.search import Search
from master_bridge.buildbot.search.seeker import Seeker
from master_bridge.buildbot.sessions.commands import prepare, split_arguments
from master_bridge.buildbot.sessions.connection import DEADLINE, DEADLINE_STOPPING
from master_bridge.buildbot.sessions.running import RunningCommand
from master_bridge.buildbot.sessions.session import RC_KILLED, BuildSession
from master_bridge.buildbot.worker_settings import NOTICE_MINUTES
from master_bridge.core.actions import Holder
from master_bridge.core.inputs import PreparedCommand, Seek

log = structlog.get_logger(__name__)


class StepConnection:
    """Takes the place of the worker's connection for one command of one step; the bridge's `Client` for it."""

    def __init__(
        self,
        *,
        broker: Any,
        step: Any,
        wanted: Wanted,
        part: int | None = None,
    ) -> None:
        """`part`: the number of one of several commands of the step, each a unit of work of its own."""
        self._broker = broker
        self._step = step
        self._master = step.master
        self._wanted = wanted
        self.request = requests.step_key(step.build, step.work_name or step.number, part)
        self._name = step.name if part is None else f"{step.name}, shard {part}"
        self._seeker = Seeker(
            broker=broker,
            reactor=step.master.reactor,
            client=self,
            search=Search(wanted),
            seek_of=self._seek_of,
            say=self._say_waiting,
        )
        self._command: RemoteCommand | None = None
        #: what its offer carries
        self._prepared: tuple[PreparedCommand, ...] = ()
        self.session: BuildSession | None = None
        self._running: RunningCommand | None = None
        #: an agent asks before it starts the command: it may have run before, or may move to another queue
        self._repeated = wanted.preference is not None
        self._deadline: Any = None

    # -- asked by Buildbot's RemoteCommand ----------------------------------------------------------------------------

    @defer.inlineCallbacks
    def remoteStartCommand(
        self, remoteCommand: RemoteCommand, builderName: str, commandId: str, commandName: str, args: dict[str, Any]
    ) -> Any:
        self._command = remoteCommand
        self._prepared = (prepare(commandName, split_arguments(commandName, args), step=self._step.name),)
        if (yield requests.ran_before(self._master, self._step.build)):
            self._repeated = True
        if not self.over and remoteCommand.active:
            self._seek()

    def remoteInterruptCommand(self, builderName: str, commandId: str, why: str) -> defer.Deferred[None]:
        """A quick stop of the master loses the connection instead, and keeps the command for the next start."""
        command = self._command
        if command is None or self.over:
            return defer.succeed(None)
        if self.keeps():
            self.leave()
            return command.interrupt(Failure(error.ConnectionLost()))
        if self.session is None or self._running is None:
            return self._finish_here("stopped while it waited for an agent")
        self.session.interrupt(self._running, why)
        wait = DEADLINE_STOPPING if self._master.botmaster.shuttingDown else DEADLINE
        wait += 0 if self._master.botmaster.shuttingDown else float(command.args.get("sigtermTime") or 0)
        self._deadline = self._master.reactor.callLater(wait, self._give_up)
        return defer.succeed(None)

    def quick_stop(self) -> None:
        """Its interrupt tells: the build's own worker is somebody else's."""

    def leave(self) -> None:
        """The step is done with it, however it ended."""
        if self.over:
            return
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        if self.session is not None:
            self.session.end()
        self._seeker.leave(keep=self.keeps())

    # -- told by the bridge -------------------------------------------------------------------------------------------

    @property
    def signature(self) -> str:
        return self._seeker.signature

    @property
    def over(self) -> bool:
        return self._seeker.over

    def state_changed(self, state: str) -> None:
        self._seeker.state = state
        self.refresh()

    def refresh(self) -> None:
        if self._seeker.looking:
            self._seeker.refresh()

    def attach(self, holder: Holder, adopted: bool) -> None:
        if self.over:
            return
        self._seeker.found()
        log.info("amqp.step_attached", request=self.request, agent=holder.agent, adopted=adopted)
        self.session = BuildSession(
            reactor=self._master.reactor, bridge=self._broker.bridge, request=self.request, holder=holder, owner=self
        )
        self._agent_found(holder)

    def lost(self, reason: str) -> None:
        """The command runs again, elsewhere: the step goes on waiting for its result."""
        log.warning("amqp.step_lost", request=self.request, reason=reason)
        if self.over:
            return
        self._seeker.lost(waited=True)
        self._again(reason).addErrback(self._failed)

    def abandoned(self, reason: str) -> None:
        log.error("amqp.build_given_up", request=self.request, reason=reason)
        if self._command is not None and not self.over:
            self._seeker.end()
            self._command.remote_complete(reason)

    def cancelled_earlier(self, reason: str) -> None:
        self._step.build.stopBuild(reason)

    # -- the session's owner ------------------------------------------------------------------------------------------

    #: its build goes on meanwhile, and the command would run into the same full disk again
    patience: float | None = None

    def shortage(self) -> Shortage | None:
        shortage: Shortage | None = self._broker.room.shortage()
        return shortage

    def infrastructure_failed(self, running: RunningCommand, reason: str) -> None:
        count = self._broker.count_infrastructure_failure(self.request)
        if count >= LIVES:
            running.complete(f"{reason}; it is failure number {count} of this kind, so the step is given up")
            return
        self._seeker.give_back()
        self._again(reason).addErrback(self._failed)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _agent_found(self, holder: Holder) -> None:
        assert self.session is not None
        assert self._command is not None, "it was sought for a command"
        self._running = self.session.follow(self._command)
        self._step.agent_found(holder)

    def _seek(self) -> None:
        self._seeker.begin()
        self.refresh()

    def _seek_of(self) -> Seek:
        build = requests.seek_of(self._step.build, self._seeker, self._wanted, agent_locks(self._step))
        return replace(
            build,
            request=self.request,
            kind="command",
            title=f"{build.title}: {self._name}",
            step=self._step.name,
            commands=self._prepared,
            repeated=self._repeated,
        )

    @defer.inlineCallbacks
    def _again(self, reason: str) -> Any:
        running, session = self._running, self.session
        self.session = self._running = None
        if running is not None and running.wanted:
            yield running.say(f"{reason}; the command runs again elsewhere")
        if session is not None:
            session.end()
        if not self.over:
            if self._command is not None and self._command.interrupted:
                yield self._finish_here("its agent was lost while it was stopped")
            else:
                self._seeker.since, self._repeated = time.time(), True
                self._seek()

    @defer.inlineCallbacks
    def _finish_here(self, text: str) -> Any:
        """End a stopped command for which no agent will say anything."""
        command = self._command
        assert command is not None
        yield command.remoteUpdate("header", f"\n{text}\n", False)
        yield command.remoteUpdate("rc", RC_KILLED, False)
        command.remote_complete(None)

    @defer.inlineCallbacks
    def _give_up(self) -> Any:
        if self.over or self._running is None or not self._running.wanted:
            return
        running = self._running
        yield running.flush()
        yield self._finish_here("the agent has not confirmed the end of the command; it kills it when it hears of it")

    # -- nobody qualifies ---------------------------------------------------------------------------------------------

    def notice_due(self) -> float | None:
        """As a worker's: seconds since the epoch from which on waiting in vain is worth a warning."""
        return self._seeker.since + NOTICE_MINUTES * 60 if self._seeker.looking else None

    def send_notice(self, text: str) -> None:
        """To the log only: Buildbot's reporters know of workers that are missing, and a step names none."""
        log.warning("amqp.no_agent_qualifies", step=self._step.name, needs=self.signature, detail=text)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _failed(self, failure: Failure) -> None:
        if self._command is not None:
            self._command.remote_complete(failure)

    def keeps(self) -> bool:
        """The master stops, and asks for the session at its next start."""
        return stopping.keeps_session(self._master, self._step.build)

    @defer.inlineCallbacks
    def _say_waiting(self, text: str) -> Any:
        if self._seeker.looking and self._step.stepid is not None:
            self._step.waiting_text = text
            yield self._master.data.updates.setStepStateString(self._step.stepid, text)
