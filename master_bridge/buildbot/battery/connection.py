"""A shard's way to an agent: a command offer, as `CapabilityCommand` makes it; more commands follow in its session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from buildbot.process.remotecommand import RemoteCommand
from twisted.internet import defer, error
from twisted.python.failure import Failure

from master_bridge.buildbot.search.step_connection import StepConnection
from master_bridge.buildbot.sessions.running import RunningCommand
from master_bridge.core.actions import Holder


class ShardConnection(StepConnection):
    """The first command is offered; those that follow run in the same session.

    When the agent is lost, or its machine is no good, the command that runs fails with `ConnectionLost`: what becomes
    of the shard is the battery's to say. `found(holder)` is called when an agent has it.
    """

    def __init__(self, *, found: Callable[[Holder], None], **settings: Any) -> None:
        super().__init__(**settings)
        self._found = found
        self._first = True
        #: the master stops and keeps the session: nothing is lost
        self.kept = False

    def remoteStartCommand(
        self, remoteCommand: RemoteCommand, builderName: str, commandId: str, commandName: str, args: dict[str, Any]
    ) -> Any:
        if not self._first:
            return self._start_next(remoteCommand, commandName, args)
        self._first = False
        return super().remoteStartCommand(remoteCommand, builderName, commandId, commandName, args)

    @defer.inlineCallbacks
    def _start_next(self, command: RemoteCommand, name: str, args: dict[str, Any]) -> Any:
        if self.session is None or self.over:
            raise error.ConnectionLost("the agent was lost between two commands")
        self._command, self._running = command, None
        self._running = yield self.session.start(command, name, args)

    def interrupt(self, reason: Any) -> None:
        """The command that runs now, whose it may be."""
        if self._command is not None:
            self._command.interrupt(reason)

    def remoteInterruptCommand(self, builderName: str, commandId: str, why: str) -> defer.Deferred[None]:
        self.kept = self.kept or (not self.over and self.keeps())
        return super().remoteInterruptCommand(builderName, commandId, why)

    def _agent_found(self, holder: Holder) -> None:
        self._found(holder)

    def lost(self, reason: str) -> None:
        if not self.over:
            self._seeker.lost(waited=True)
            self._end(reason)

    def abandoned(self, reason: str) -> None:
        if not self.over:
            self._end(reason)

    def infrastructure_failed(self, running: RunningCommand, reason: str) -> None:
        self._seeker.give_back()
        self._end(reason)

    def _end(self, reason: str) -> None:
        """No agent is sought again under this key."""
        command, session = self._command, self.session
        self.session = self._running = None
        if session is not None:
            session.end()
        self.leave()
        if command is not None:
            command.interrupt(Failure(error.ConnectionLost(reason)))

    def refresh(self) -> None:
        """What is waited for is in the battery's progress."""
