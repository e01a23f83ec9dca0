"""`steps.Battery`: a battery of tests over all agents that qualify, as one step.

factory.addStep(steps.Battery(
    units="pytest --collect-only -q | grep ::", command=["pytest", "--junit-xml=junit.xml", util.Units()],
    requires=["python>=3.10"], prepare=["archive"], report="junit.xml"))
"""

from __future__ import annotations

import hashlib
import json
import time
from functools import partial
from typing import Any

from buildbot import config
from buildbot.process.buildstep import BuildStep, ShellMixin
from buildbot.process.results import CANCELLED, FAILURE, SKIPPED, SUCCESS
from buildbot.util import flatten
from twisted.internet import defer

from master_bridge.buildbot.battery import results
from master_bridge.buildbot.battery.arguments import wrong_arguments
from master_bridge.buildbot.battery.connection import ShardConnection
from master_bridge.buildbot.battery.preparing import NotPrepared, Preparation
from master_bridge.buildbot.battery.run import GivenUp, Run
from master_bridge.buildbot.battery.scripts import Places
from master_bridge.buildbot.battery.store import Store
from master_bridge.buildbot.battery.timings import Timings
from master_bridge.buildbot.battery.units import lines_of, wrong_units
from master_bridge.buildbot.broker_of_master import broker_of
from master_bridge.buildbot.builddirs import component
from master_bridge.buildbot.internals.builds import SupervisedBuild
from master_bridge.buildbot.search import requests
from master_bridge.buildbot.search.preference import PREFER_SECONDS, Wanted
from master_bridge.buildbot.worker_settings import wanted_by
from master_bridge.core.battery import journal
from master_bridge.core.battery.battery import BatteryMachine, Plan
from master_bridge.core.battery.progress import summary

#: Seconds of work in a shard.
TARGET_SECONDS = 60.0


class Battery(ShellMixin, BuildStep):
    """Units of work (tests), run by all agents that qualify: whoever is free takes the next shard of them.

    Takes those arguments of `ShellCommand` that mean something here: `env`, `workdir`, `timeout` and `maxTime` (of one
    shard), `decodeRC`, `interruptSignal`, `sigtermTime`, `max_lines`, and all of a step. Shards run at least once.

    Args:
        units (list of texts, or a command; may be rendered): What there is to be run. A text is a command of the shell
            that the build's own worker runs in `workdir`: each line that it prints is a unit.
        command (list of texts, may be rendered): What an agent runs for a shard; `util.Units()` stands for its units.
        requires (list of texts, may be rendered): What an agent must offer, as for `CapabilityCommand`.
        prefers (list of texts, may be rendered): What it should offer as well, for `prefer_seconds`.
        prefer_seconds (number; seconds): So long an agent that offers what is preferred is waited for.
        fencing (None or "strict"): With "strict" an agent without contact ends its shard before that runs elsewhere.
        seal (None, True or False): As for `CapabilityCommand`.
        prepare (list): How an agent gets what the command needs, once for each revision: "archive", the build's folder
            as the build's own worker has it, and steps, as `steps.Git(…)` or `steps.ShellCommand(…)`, in their order.
        report (file): The JUnit report that the command writes, seen from `workdir`; it tells which unit failed.
            Without one, the units of a shard that failed are run again in halves, to find out.
        target_seconds (number; seconds): A shard is made this long at most.
        retries (whole number; runs): So often a unit that failed runs again; one that passes then is told as flaky.
    """

    name = "battery"
    #: by which the catalogue knows such steps without importing this module
    amqp_capability_step = True
    renderables = ("units", "requires", "prefers", "report")
    #: as `CapabilityCommand.work_name`
    work_name: str | None = None

    def __init__(
        self,
        *,
        units: Any,
        command: Any,
        requires: Any = (),
        prefers: Any = (),
        prefer_seconds: float = PREFER_SECONDS,
        fencing: str | None = None,
        seal: bool | None = None,
        prepare: Any = (),
        report: Any = None,
        target_seconds: float = TARGET_SECONDS,
        retries: int = 0,
        **kwargs: Any,
    ) -> None:
        self.units = units
        self.requires = requires
        self.prefers = prefers
        self.prefer_seconds = prefer_seconds
        self.fencing = fencing
        self.seal = seal
        self.prepare = [prepare] if isinstance(prepare, str) else list(prepare or ())
        self.report = report
        self.target_seconds = target_seconds
        self.retries = retries
        #: of what the fleet does now
        self.progress_text = ""
        self.summary_text = ""
        self._run: Run | None = None
        self._shown = defer.DeferredLock()
        for problem in wrong_arguments(self, command, kwargs):
            config.error(f"Battery: {problem}")
        prohibited = ["logfiles", "lazylogfiles", "initialStdin", "usePTY", "want_stdout", "want_stderr", "logEnviron"]
        kwargs = self.setupShellMixin({**kwargs, "command": command}, prohibitArgs=prohibited)
        super().__init__(**kwargs)

    # ---- Buildbot's calls

    @defer.inlineCallbacks
    def run(self) -> Any:
        SupervisedBuild.of(self.build)  # a reconfig may remove its builder while its shards wait
        self.command_parts = flatten(self.command, (list, tuple))
        self.shard_env = {**(yield self.build.render(self.build.env)), **(self.env or {})}
        units = yield self._list_units()
        if units is None:
            return CANCELLED if self.stopped else FAILURE
        if not units:
            self.summary_text = "no units"
            return SKIPPED
        store = Store(self.master.basedir, requests.step_key(self.build, self.work_name or self.number))
        preparation = Preparation(self, self.prepare, store)
        try:
            battery = yield self._battery(units, store, preparation)
            if self.stopped:
                return CANCELLED
            yield self._run_battery(battery, store, preparation)
        except (NotPrepared, GivenUp) as problem:
            if self.stopped:
                return CANCELLED
            self.summary_text = f"could not be prepared: {problem}"
            yield self.addCompleteLog("not prepared", str(problem))
            return FAILURE
        yield Timings(self.master, self._owner).learn(*battery.learned(), time.time())
        self.summary_text = summary(battery)
        yield results.show(self, battery, store)
        if self.stopped:
            return CANCELLED
        return FAILURE if battery.counts.failed or battery.problems else SUCCESS

    def interrupt(self, reason: Any) -> Any:
        """A Stop ends all shards; the master's own stop leaves them to their agents."""
        stopped = self.stopped
        result = super().interrupt(reason)
        if self._run is not None and not stopped:
            self._run.stop(reason)
        return result

    def getCurrentSummary(self) -> Any:
        return {"step": self.progress_text or "listing units"}

    def getResultSummary(self) -> Any:
        if not self.summary_text:
            return super(ShellMixin, self).getResultSummary()
        return {"step": self.build.properties.cleanupTextFromSecrets(self.summary_text)}

    # ---- its parts

    @property
    def _owner(self) -> str:
        return f"{self.build.builder.name}/{self.name}"

    @defer.inlineCallbacks
    def _list_units(self) -> Any:
        """None: they cannot be listed, and a log says why."""
        units = self.units
        if isinstance(units, str):
            command = yield self.makeRemoteShellCommand(
                command=units, collectStdout=True, stdioLogName="units", logfiles={}, logEnviron=False, usePTY=False
            )
            yield self.runCommand(command)
            if self.stopped:
                return None
            if command.didFail():
                self.summary_text = f"the units could not be listed (exit status {command.rc})"
                return None
            units = lines_of(command.stdout)
        problem = wrong_units(units)
        if problem is not None:
            self.summary_text = problem
            yield self.addCompleteLog("wrong units", problem)
            return None
        return list(dict.fromkeys(units))

    @defer.inlineCallbacks
    def _battery(self, units: list[str], store: Store, preparation: Preparation) -> Any:
        """The battery that a master which died had begun, or a new one."""
        plan = Plan(target_seconds=float(self.target_seconds), retries=self.retries)
        asked_for = json.dumps([units, self.command_parts, self.report, self.retries], default=_words)
        key = hashlib.sha256(asked_for.encode("utf-8", "replace")).hexdigest()
        found = store.open()
        yield preparation.begin()
        if found is not None and found[0].key == key:
            return found[1]
        timings = Timings(self.master, self._owner)
        known = yield timings.of(units)
        speeds = yield timings.speeds()
        beginning = journal.Beginning(key=key, units=tuple(units), timings=known, speeds=speeds, plan=plan)
        store.begin(beginning)
        return beginning.battery()

    @defer.inlineCallbacks
    def _run_battery(self, battery: BatteryMachine, store: Store, preparation: Preparation) -> Any:
        broker = yield broker_of(self.master)
        wanted = wanted_by(self)
        builddir = component(self.build.builder.config.workerbuilddir)
        stdio = yield self.addLog("stdio")
        self._run = Run(
            step=self,
            battery=battery,
            store=store,
            broker=broker,
            requirements=wanted.requirements,
            preparation=preparation,
            places=Places(self.workdir, builddir, preparation.key),
            connection=partial(self._connection, broker, wanted),
            show=partial(self._show, stdio),
        )
        try:
            yield self._run.run()
        finally:
            self._run = None
            yield self._shown.run(stdio.finish)

    def _connection(self, broker: Any, wanted: Wanted, shard: int) -> ShardConnection:
        return ShardConnection(broker=broker, step=self, wanted=wanted, part=shard)

    def _show(self, stdio: Any, header: str, printed: str) -> None:
        """One shard after the other, each as a whole."""
        self._shown.run(self._show_now, stdio, header, printed).addErrback(
            lambda failure: self.addLogWithFailure(failure, "log of shards ")
        )

    @defer.inlineCallbacks
    def _show_now(self, stdio: Any, header: str, printed: str) -> Any:
        yield stdio.addHeader(f"{header}\n")
        if printed:
            yield stdio.addStdout(printed if printed.endswith("\n") else f"{printed}\n")


def _words(value: Any) -> str:
    """Of what stands in a command and is no text."""
    return repr(sorted(vars(value).items())) if hasattr(value, "__dict__") else repr(value)
