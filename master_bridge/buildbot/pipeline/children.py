"""The steps that lines become. Each is added to its build while others run, so their numbers are given one by one."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from buildbot.process.buildstep import BuildStep
from buildbot.process.results import CANCELLED, SUCCESS, worst_status
from buildbot.reporters.utils import getURLForBuildrequest
from buildbot.steps.shell import ShellCommand
from buildbot.steps.transfer import FileUpload
from buildbot.steps.trigger import Trigger
from twisted.internet import defer

from contracts.pipeline import lines
from contracts.pipeline.script import Entry
from master_bridge.buildbot.battery.step import Battery
from master_bridge.buildbot.battery.units import Units
from master_bridge.buildbot.internals.nested_steps import result_of_request
from master_bridge.buildbot.pipeline.memory import Memory, Remembered
from master_bridge.buildbot.steps import CapabilityCommand
from master_bridge.core.actions import Holder


class Child(BuildStep):
    """A step of a pipeline's line."""

    #: of its build: Buildbot looks for the next free number and takes it in two steps
    adding: defer.DeferredLock

    def addStep(self) -> Any:
        return self.adding.run(super().addStep)


class OwnCommand(Child, ShellCommand):
    """`run` without `requires`."""


class CommandElsewhere(Child, CapabilityCommand):
    """`run` with `requires`."""

    memory: Memory
    digest: str
    agent = ""

    @defer.inlineCallbacks
    def run(self) -> Any:
        """In a build that starts over, what the command came to before."""
        known = yield self.memory.recall(self.work_name, self.digest)
        if known is None:
            return (yield super().run())
        self.agent = known.agent
        yield self.memory.copy_logs(known, self)
        return known.result

    @defer.inlineCallbacks
    def command_completed(self, command: Any) -> Any:
        """Its result is kept before its agent forgets it."""
        if not self.stopped:
            outcome = Remembered(stepid=self.stepid, result=command.results(), agent=self.agent)
            yield self.memory.keep(self.work_name, self.digest, outcome)

    def agent_found(self, holder: Holder) -> None:
        """A build of thousands of steps gets no property for each; the pipeline's account names the agent."""
        self.waiting_text = None
        self.agent = holder.agent
        self.updateSummary()


class SplitTests(Child, Battery):
    """`battery`."""


class KeptFile(Child, FileUpload):
    """`upload`."""


class OtherBuilds(Child, Trigger):
    """`trigger`."""

    memory: Memory

    @defer.inlineCallbacks
    def run(self) -> Any:
        """In a build that starts over, the builds that were asked for before are waited for, not asked for again."""
        self.parent_relationship = f"Triggered from pipeline, step {self.work_name}"
        asked = yield self.memory.triggered(self.parent_relationship)
        if not asked:
            return (yield super().run())
        self.brids, self.triggeredNames, self.running = asked, self.schedulerNames, True
        for request in asked:
            yield self.addURL(f"{self.schedulerNames[0]} #{request}", getURLForBuildrequest(self.master, request))
        if not self.waitForFinish:
            return SUCCESS
        ends = [result_of_request(self, request) for request in asked]
        self.waitForFinishDeferred = defer.DeferredList(ends, consumeErrors=True)
        with suppress(defer.CancelledError):
            yield self.waitForFinishDeferred
        if self.ended:
            return CANCELLED
        result = SUCCESS
        for request in asked:  # its builds may have been repeated, too: what counts is what became of the request
            row = yield self.master.data.get(("buildrequests", request))
            result = worst_status(result, row["results"])
        return result


def shell_arguments(line: lines.RunLine | lines.ProgramLine, name: str, folder: str) -> dict[str, Any]:
    """Arguments of Buildbot's `ShellCommand`. `folder`: of the pipeline itself, relative to the build's own."""
    return {
        "name": name,
        "command": line.command if isinstance(line.command, str) else list(line.command),
        "env": dict(line.env),
        "workdir": f"{folder}/{line.workdir}" if line.workdir else folder,
        "timeout": line.timeout,
    }


def own_command(entry: Entry, line: lines.RunLine, folder: str, env: dict[str, Any]) -> BuildStep:
    """`env`: what the builder sets for the pipeline's own program."""
    arguments = shell_arguments(line, entry.name, folder)
    arguments["env"] = {**env, **arguments["env"]}
    return OwnCommand(maxTime=line.max_time, logfiles=dict(line.logfiles), **arguments)


def command_elsewhere(entry: Entry, line: lines.RunLine) -> BuildStep:
    return CommandElsewhere(
        requires=list(line.requires or ()),
        maxTime=line.max_time,
        logfiles=dict(line.logfiles),
        **shell_arguments(line, entry.name, "build"),
    )


def battery(entry: Entry, line: lines.BatteryLine, folder: str) -> BuildStep:
    return SplitTests(
        name=entry.name,
        units=list(line.units),
        command=[Units() if part == lines.UNITS else part for part in line.command],
        requires=list(line.requires),
        prepare=["archive"] if line.archive else [],
        env=dict(line.env),
        report=line.report,
        retries=line.retries,
        workdir=folder,
    )


def kept_file(entry: Entry, line: lines.UploadLine, folder: str, uploads: str, maxsize: int) -> BuildStep:
    """`uploads`: the master's folder for them."""
    return KeptFile(
        name=entry.name, workersrc=line.path, workdir=folder, masterdest=os.path.join(uploads, line.to), maxsize=maxsize
    )


def other_builds(entry: Entry, line: lines.TriggerLine) -> BuildStep:
    return OtherBuilds(
        name=entry.name, schedulerNames=[line.scheduler], set_properties=dict(line.properties), waitForFinish=line.wait
    )
