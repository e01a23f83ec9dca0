"""Buildbot's `Connection` to a worker, over a session that an agent holds."""

from __future__ import annotations

from typing import Any, Protocol

import structlog
from buildbot.process.remotecommand import RemoteCommand
from buildbot.worker.protocols.base import Connection
from twisted.internet import defer, error

from contracts.messages import Capability
from master_bridge.buildbot.sessions.running import RunningCommand
from master_bridge.buildbot.sessions.session import RC_KILLED, BuildSession

log = structlog.get_logger(__name__)

#: Seconds for an interrupted command to complete while the master stops; Buildbot itself waits 5 before it hangs up.
DEADLINE_STOPPING = 4.0
#: The same for a user's Stop, on top of the command's own sigtermTime: the broker may be away for a while.
DEADLINE = 30.0


class Owner(Protocol):
    """What a connection asks of the slot it belongs to."""

    def leave_session(self) -> None:
        """The connection is over: keep or release the session, as the master's state asks for."""

    def keeps_session(self) -> bool:
        """Is the session to be kept for the master's next start?"""

    def is_stopping(self) -> bool:
        """Is the master on its way down?"""

    def build_starts(self) -> None:
        """Buildbot has set the build's properties of the worker."""

    def command_starts(self) -> None:
        """The agent was sent a command."""


class AMQPConnection(Connection):
    """One session as Buildbot sees it: alive until `disconnect`, which happens once."""

    def __init__(self, *, name: str, session: BuildSession, owner: Owner, reactor: Any) -> None:
        super().__init__(name)
        self.session = session
        self._owner = owner
        self._reactor = reactor
        self._commands: dict[str, RunningCommand] = {}
        #: commands that were interrupted while the master still read the file that they download
        self._interrupted_early: dict[str, str] = {}
        self._deadlines: list[Any] = []
        self.alive = True
        #: set when no command may run any more; the next one fails with it
        self.refusal: str | None = None
        self.info: dict[str, Any] = worker_info(session)

    def get_peer(self) -> str:
        holder = self.session.holder
        return f"{holder.agent} ({holder.address})"

    # -- what Buildbot asks -------------------------------------------------------------------------------------------

    def remotePrint(self, message: str) -> defer.Deferred[None]:
        """Buildbot's ping: the bridge watches the agent by pings of its own, so the answer is known here."""
        return self._answer(None)

    def remoteGetWorkerInfo(self) -> defer.Deferred[dict[str, Any]]:
        return self._answer(self.info)

    def remoteSetBuilderList(self, builders: list[tuple[str, str]]) -> defer.Deferred[list[str]]:
        return self._answer([name for name, _ in builders])

    def remoteStartBuild(self, builderName: str) -> defer.Deferred[None]:
        if self.alive:
            self._owner.build_starts()
        return self._answer(None)

    @defer.inlineCallbacks
    def remoteStartCommand(
        self, remoteCommand: RemoteCommand, builderName: str, commandId: str, commandName: str, args: dict[str, Any]
    ) -> Any:
        if not self.alive:
            raise error.ConnectionLost("the agent's session is over")
        if self.refusal is not None:
            raise RuntimeError(self.refusal)
        self._commands[commandId] = yield self.session.start(remoteCommand, commandName, args)
        self._owner.command_starts()
        why = self._interrupted_early.pop(commandId, None)
        if why is not None:
            yield self.remoteInterruptCommand(builderName, commandId, why)

    def remoteInterruptCommand(self, builderName: str, commandId: str, why: str) -> defer.Deferred[None]:
        """In a quick stop the connection is lost instead: a completed command would make the build CANCELLED."""
        if not self.alive:
            return defer.fail(error.ConnectionLost("the agent's session is over"))
        if self._owner.keeps_session():
            self.disconnect()
            return defer.succeed(None)
        running = self._commands.get(commandId)
        if running is None:
            self._interrupted_early[commandId] = why
        elif running.wanted:
            self.session.interrupt(running, why)
            stopping = self._owner.is_stopping()
            wait = DEADLINE_STOPPING if stopping else DEADLINE + float(running.command.args.get("sigtermTime") or 0)
            self._deadlines.append(self._reactor.callLater(wait, self._give_up, running, wait, stopping))
        return defer.succeed(None)

    def remoteShutdown(self) -> defer.Deferred[None]:
        """Kill, on Buildbot's worker page: the agent serves other columns, so only its session here ends."""
        self.disconnect()
        return defer.succeed(None)

    def loseConnection(self) -> None:
        self.disconnect()

    # -- how it ends --------------------------------------------------------------------------------------------------

    def disconnect(self, leave: bool = True) -> None:
        """End the connection for Buildbot. `leave` False: the session is over already (the bridge lost it)."""
        if not self.alive:
            return
        self.alive = False
        for deadline in self._deadlines:
            if deadline.active():
                deadline.cancel()
        self.session.end()
        if leave:
            self._owner.leave_session()
        self.notifyDisconnected()

    @defer.inlineCallbacks
    def lose(self, reason: str) -> Any:
        """As `disconnect`, with `reason` in the running command's log first. The session is over already."""
        yield self._say(reason)
        self.disconnect(leave=False)

    @defer.inlineCallbacks
    def fail(self, reason: str) -> Any:
        """The running command, or the next one, fails with `reason`: its step, and the build, become EXCEPTION."""
        self.refusal = reason
        yield self._say(reason)
        running = self.session.current
        if running is not None:
            running.complete(reason)

    @defer.inlineCallbacks
    def _say(self, text: str) -> Any:
        running = self.session.current
        if running is not None:
            try:
                yield running.say(text)
            except Exception as problem:  # the log cannot be written; what happens to the build matters more
                log.warning("amqp.log_header_not_written", reason=str(problem))

    @defer.inlineCallbacks
    def _give_up(self, running: RunningCommand, wait: float, stopping: bool) -> Any:
        """An interrupted command has not completed in time."""
        if not running.wanted or not self.alive:
            return
        log.warning("amqp.interrupt_unanswered", agent=self.session.holder.agent, seconds=wait)
        if not stopping:
            try:
                yield running.say(
                    f"agent {self.session.holder.agent} has not confirmed the end of the command within {wait:.0f} s; "
                    "it kills it as soon as it hears of it"
                )
                yield running.command.remoteUpdate("rc", RC_KILLED, False)
            finally:
                running.complete(None)
        self.disconnect()

    def _answer(self, value: Any) -> defer.Deferred[Any]:
        if self.alive:
            return defer.succeed(value)
        return defer.fail(error.ConnectionLost("the agent's session is over"))


def worker_info(session: BuildSession) -> dict[str, Any]:
    """What Buildbot wants to know of a worker, and the agent's capabilities as one more property.

    The keys are those of `buildbot_worker.base.BotBase.remote_getWorkerInfo`.
    """
    holder = session.holder
    told = holder.worker.model_dump(exclude_none=True)
    # Files of a worker's info folder say nothing of what the worker itself says, in Buildbot as here.
    info = {**told.pop("facts"), **told, "delete_leftover_dirs": False}
    info["agent"] = holder.agent
    info["agent_account"] = holder.account
    info["agent_instance"] = holder.instance
    info["capabilities"] = capability_property(holder.capabilities)
    return info


def capability_property(capabilities: tuple[Capability, ...]) -> dict[str, Any]:
    """name -> version, a list of versions where there are several, or None where it is unknown."""
    found: dict[str, list[str | None]] = {}
    for capability in capabilities:
        found.setdefault(capability.name, []).append(capability.version)
    return {name: versions[0] if len(versions) == 1 else versions for name, versions in sorted(found.items())}
