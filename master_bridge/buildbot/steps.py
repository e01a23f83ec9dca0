"""`CapabilityCommand`: a shell command that is a unit of work of its own.

    factory.addStep(steps.CapabilityCommand(name="lint", command=["ruff", "check", "."], requires=["ruff", "git"]))

The command needs nothing of an earlier step: it goes to the queue of its capabilities, and any qualified agent runs
it, whatever worker the build has. It is at-least-once: when its agent is lost, it runs again elsewhere.
"""

from __future__ import annotations

from typing import Any

from buildbot import config
from buildbot.interfaces import IRenderable
from buildbot.process.buildstep import BuildStepFailed
from buildbot.process.results import CANCELLED
from buildbot.steps.shell import ShellCommand
from twisted.internet import defer

from master_bridge.buildbot import places
from master_bridge.buildbot.broker_of_master import broker_of
from master_bridge.buildbot.internals.builds import SupervisedBuild
from master_bridge.buildbot.search.naming import agent_name
from master_bridge.buildbot.search.preference import PREFER_SECONDS, wrong_seconds
from master_bridge.buildbot.search.step_connection import StepConnection
from master_bridge.buildbot.worker_settings import (
    wanted_by,
    wrong_fencing,
    wrong_requirements,
    wrong_seal,
)
from master_bridge.core.actions import Holder


class CapabilityCommand(ShellCommand):
    """A `ShellCommand` that any qualified agent runs, whatever worker the build has. It runs at least once.

    Takes every argument of `ShellCommand`, too; folders are on the agent that runs it. `locks` are held while the
    command runs. A build's property `agent:<step>` names that agent.

    Args:
        requires (list of texts, may be rendered): What an agent must offer, as in ["ruff", "git"]; an empty list: any.
        prefers (list of texts, may be rendered): What it should offer as well, for `prefer_seconds`. A command that
            prefers starts after its master granted it only, never while the master is down.
        prefer_seconds (number; seconds): So long an agent that offers what is preferred is waited for.
        fencing (None or "strict"): With "strict" an agent without contact ends the command before it runs elsewhere.
        seal (None, True or False): True: the command, its environment and its output are encrypted for the agent that
            runs it, which needs the capability `sealing`. None: as the build's own worker has it. A command that is
            sealed starts after its master granted it only.
    """

    #: by which the catalogue knows such steps without importing this module
    amqp_capability_step = True
    renderables = ("requires", "prefers")
    #: what its work is called among that of its build, where its step's number may be another after a restart
    work_name: str | None = None

    def __init__(
        self,
        *,
        requires: Any = (),
        prefers: Any = (),
        prefer_seconds: float = PREFER_SECONDS,
        fencing: str | None = None,
        seal: bool | None = None,
        **kwargs: Any,
    ) -> None:
        #: for what the command waits; None while an agent runs it
        self.waiting_text: str | None = None
        #: who runs it, or ran it last
        self._agent: str | None = None
        self.requires = requires
        self.prefers = prefers
        self.prefer_seconds = prefer_seconds
        self.fencing = fencing
        self.seal = seal
        known = [() if _holds_renderable(value) else value for value in (requires, prefers)]
        wrong_others = (wrong_seconds(prefer_seconds), *wrong_fencing(fencing), *wrong_seal(seal, None))
        for problem in (*wrong_requirements(*known), *wrong_others):
            if problem is not None:
                config.error(f"CapabilityCommand: {problem}")
        for name in sorted(set(places.named(kwargs))):
            config.error(f"CapabilityCommand: {name} is a folder of the build's own worker; {places.INSTEAD}")
        super().__init__(**kwargs)

    @defer.inlineCallbacks
    def runCommand(self, command: Any) -> Any:
        """Instead of the worker's connection, one of the command's own."""
        if self.stopped:
            return CANCELLED
        yield self._refuse_other_places(command)
        SupervisedBuild.of(self.build)  # a reconfig may remove its builder while the command waits
        broker = yield broker_of(self.master)
        connection = StepConnection(broker=broker, step=self, wanted=wanted_by(self))
        self.cmd = command
        command.worker = self.worker
        if command.args.get("usePTY") is None:
            command.args["usePTY"] = False  # what an old PB worker of this build would make of None is not ours
        try:
            result = yield command.run(self, connection, self.build.builder.name)
            if command.remote_failure_reason in ("timeout", "timeout_without_output"):
                self.timed_out = True
            elif command.remote_failure_reason == "max_lines_failure":
                self.max_lines_reached = True
            yield self.command_completed(command)
        finally:
            self.cmd = None
            self.waiting_text = None
            connection.leave()
        return result

    @defer.inlineCallbacks
    def _refuse_other_places(self, command: Any) -> Any:
        """End the step, as a FAILURE that says why, if the command has a folder of the build's own worker in it."""
        folders = {name: self.getProperty(name) for name in places.OF_THE_WORKER}
        # Buildbot puts a shell command among its arguments only when it is sent
        found = places.used([command.args, getattr(command, "command", None)], folders)
        if found is not None:
            text = f"{folders[found]} (the property {found}) is a folder of the build's own worker; {places.INSTEAD}"
            yield self.addCompleteLog("wrong folder", text)
            self.descriptionDone = [f"{found} is a folder of another machine"]
            raise BuildStepFailed

    def getCurrentSummary(self) -> Any:
        """Buildbot writes its own summary at intervals of its own: while the command waits, that is what it says."""
        if self.waiting_text is not None:
            return {"step": self.waiting_text}
        return self._naming_agent(super().getCurrentSummary())

    def getResultSummary(self) -> Any:
        return self._naming_agent(super().getResultSummary())

    def _naming_agent(self, summary: dict[str, str]) -> dict[str, str]:
        if self._agent is None or "step" not in summary:
            return summary
        return {**summary, "step": f"{summary['step']} (on agent {self._agent})"}

    def command_completed(self, _command: Any) -> Any:
        """For subclasses: the agent has said all of it, and keeps it until this has fired."""
        return defer.succeed(None)

    def agent_found(self, holder: Holder) -> None:
        """Says who runs it, in its text and in a property of the build."""
        self.waiting_text = None
        self._agent = agent_name(holder)
        self.build.setProperty(f"agent:{self.name}", holder.agent, "AMQP")
        self.updateSummary()


def _holds_renderable(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_renderable(item) for item in value)
    return bool(IRenderable.providedBy(value))
