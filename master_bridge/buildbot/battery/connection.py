"""A shard's way to an agent: an offer without a command. Which commands the agent gets is decided when it has come."""

from __future__ import annotations

from typing import Any

from buildbot.process.remotecommand import RemoteCommand
from twisted.internet import defer, error
from twisted.python.failure import Failure

from master_bridge.buildbot.search import requests
from master_bridge.buildbot.search.step_connection import StepConnection
from master_bridge.buildbot.sessions.running import RunningCommand
from master_bridge.core.actions import Holder


class ShardConnection(StepConnection):
    """`find` first; then all commands that are run over it run in one session, as a build's do.

    When the agent is lost, or its machine is no good, the command that runs fails with `ConnectionLost`: what becomes
    of the shard is the battery's to say.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._found: defer.Deferred[Holder] | None = None
        #: the master stops and keeps the session: nothing is lost
        self.kept = False

    @defer.inlineCallbacks
    def find(self) -> Any:
        """Fires with the agent that has come for it. Fails with `ConnectionLost`: none will."""
        found = self._found = defer.Deferred()
        if (yield requests.ran_before(self._master, self._step.build)):
            self._repeated = True
        if not self.over:
            self._seek()
        return (yield found)

    def _agent_found(self, holder: Holder) -> None:
        found, self._found = self._found, None
        if found is not None:
            found.callback(holder)

    @defer.inlineCallbacks
    def remoteStartCommand(
        self, remoteCommand: RemoteCommand, builderName: str, commandId: str, commandName: str, args: dict[str, Any]
    ) -> Any:
        if self.session is None or self.over:
            raise error.ConnectionLost("the agent was lost between two commands")
        self._command, self._running = remoteCommand, None
        self._running = yield self.session.start(remoteCommand, commandName, args)

    def interrupt(self, reason: Any) -> None:
        """The command that runs now, whose it may be; or the search."""
        if self._found is not None:
            self.kept = self.kept or (not self.over and self.keeps())
            self._end("stopped while it waited for an agent")
        elif self._command is not None:
            self._command.interrupt(reason)

    def remoteInterruptCommand(self, builderName: str, commandId: str, why: str) -> defer.Deferred[None]:
        self.kept = self.kept or (not self.over and self.keeps())
        return super().remoteInterruptCommand(builderName, commandId, why)

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
        found, self._found = self._found, None
        if found is not None:
            found.errback(error.ConnectionLost(reason))
        elif command is not None:
            command.interrupt(Failure(error.ConnectionLost(reason)))

    def refresh(self) -> None:
        """What is waited for is in the battery's progress."""
