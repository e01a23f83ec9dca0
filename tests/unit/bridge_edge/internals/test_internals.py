"""Each name of Buildbot's own that is leant on beyond its documented interfaces, in the version that is installed.

A new version of Buildbot that fails here is to be read again where `master_bridge/buildbot/internals` says its sources.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from buildbot.config.master import MasterConfig
from buildbot.data.base import ResourceType
from buildbot.data.builds import Build as BuildResource
from buildbot.data.logs import Log as LogResource
from buildbot.data.properties import Properties
from buildbot.data.steps import Step as StepResource
from buildbot.data.workers import Worker as WorkerResource
from buildbot.db.buildrequests import BuildRequestsConnectorComponent
from buildbot.db.logs import LogsConnectorComponent
from buildbot.locks import BaseLock
from buildbot.master import BuildMaster
from buildbot.mq.simple import SimpleMQ
from buildbot.process.botmaster import BotMaster
from buildbot.process.build import Build
from buildbot.process.builder import Builder, enforceChosenWorker
from buildbot.process.buildrequestdistributor import BasicBuildChooser, BuildRequestDistributor
from buildbot.process.buildstep import BuildStep
from buildbot.process.workerforbuilder import AbstractWorkerForBuilder, LatentWorkerForBuilder
from buildbot.steps.source.base import Source
from buildbot.steps.trigger import Trigger
from buildbot.util.service import BuildbotService, SharedService
from buildbot.worker.base import AbstractWorker
from buildbot.worker.latent import AbstractLatentWorker, States

#: What is called or replaced, and with which arguments.
CALLED = {
    (Build, "startBuild"): ["workerforbuilder"],
    (Build, "stopBuild"): ["reason", "results"],
    (Build, "buildFinished"): ["text", "results"],
    (Builder, "buildFinished"): ["build", "wfb"],
    (AbstractWorkerForBuilder, "buildFinished"): [],
    (AbstractWorkerForBuilder, "attached"): ["worker", "commands"],
    (AbstractWorkerForBuilder, "isBusy"): [],
    (LatentWorkerForBuilder, "detached"): [],
    (LatentWorkerForBuilder, "insubstantiate_if_needed"): [],
    (LatentWorkerForBuilder, "__init__"): ["worker", "builder"],
    (AbstractLatentWorker, "insubstantiate"): ["fast", "force_substantiation_build"],
    (AbstractLatentWorker, "_fireSubstantiationNotifier"): ["result"],
    (AbstractLatentWorker, "_substantiation_failed"): ["failure"],
    (AbstractLatentWorker, "updateWorker"): [],
    (AbstractWorker, "_update_paused"): [],
    (AbstractWorker, "_update_graceful"): [],
    (BuildbotService, "reconfigServiceWithSibling"): ["sibling"],
    (Trigger, "_add_results"): ["brid"],
    (BuildStep, "_render_renderables"): [],
    (BuildStep, "addLog"): ["name", "type", "logEncoding"],
    (BuildStep, "setBuild"): ["build"],
    (BuildStep, "setWorker"): ["worker"],
    (MasterConfig, "check_builders"): [],
    (BotMaster, "maybeStartBuildsForBuilder"): ["buildername"],
    (BaseLock, "isAvailable"): ["requester", "access"],
    (BuildRequestDistributor, "_maybeStartBuildsOn"): ["new_builders"],
    (BuildRequestDistributor, "_defaultSorter"): ["master", "builders"],
    (Properties, "setBuildProperties"): ["buildid", "properties"],
    (Properties, "generateUpdateEvent"): ["buildid", "newprops"],
    (BuildResource, "generateEvent"): ["_id", "event"],
    (StepResource, "generateEvent"): ["stepid", "event"],
    (LogResource, "generateEvent"): ["_id", "event"],
    (LogsConnectorComponent, "appendLog"): ["logid", "content"],
    (LogsConnectorComponent, "_get_configured_compressor"): [],
}

#: What the source of a class or function must still say, for what is done here to be needed and to do no harm.
SAID = {
    Build.__init__: ["self.executedSteps", "self._preparation_step", "self.workerforbuilder", "self.master ="],
    Build.startBuild: ["self.conn = workerforbuilder.worker.conn", "yield self.stopBuild(reason=reason)"],
    Build.lostRemote: ["self.results = RETRY"],
    Build.stepDone: ["if not self.conn:", "self.results = RETRY"],
    Build.buildFinished: [
        "self.finished = True",
        "self.workerforbuilder.buildFinished()",
        "self.builder.buildFinished(",
    ],
    BuildStep.runCommand: ["command.worker = self.worker", "command.run(self, self.remote, self.build.builder.name)"],
    Source.run: ["s = self.build.getSourceStamp(self.codebase)", "revision = s.revision"],
    Build.getSourceStamp: ["for source in self.sources:"],
    Builder._startBuildFor: ["self.building.append(build)", "workerforbuilder.buildStarted()", "build.startBuild"],
    Builder.buildFinished: ["self.building.remove(build)", "self.master.data"],
    Builder.reconfigServiceWithBuildbotConfig: ["self.workers = ["],
    BotMaster.reconfigServiceBuilders: ["builder.master = None", "builder.botmaster = None", "del self.builders[n]"],
    BasicBuildChooser.__init__: ["self.bldr.config.nextWorker", "self.master.config.select_next_worker"],
    BasicBuildChooser.popNextBuild: ["recycledWorkers.append(worker)"],
    BasicBuildChooser._popNextWorker: ["self.nextWorker(self.bldr, self.workerpool, buildrequest)"],
    enforceChosenWorker: ["breq.properties['workername']"],
    Builder.canStartBuild: [
        "self.config.canStartBuild(self, workerforbuilder, buildrequest)",
        "locks = self.config.locks",
    ],
    BuildRequestDistributor.maybeStartBuildsOn: ["self._deferwaiter.add(self._maybeStartBuildsOn(new_builders))"],
    BuildRequestDistributor.__init__: ["self._pending_builders = []", "self.active = False"],
    BuildRequestDistributor._sortBuilders: ["self.master.config.prioritizeBuilders", "sorter = self._defaultSorter"],
    BuildRequestsConnectorComponent.getBuildRequests: [
        "(claims_tbl.c.claimed_at == NULL) & (reqs_tbl.c.complete == 0)"
    ],
    BotMaster.startService: ["('buildrequests', None, \"new\")", "('buildrequests', None, 'unclaimed')"],
    BuildResource.generateEvent: ["self.produceEvent(build, event)"],
    StepResource.generateEvent: ["self.produceEvent(step, event)"],
    LogResource.generateEvent: ["self.produceEvent(build, event)"],
    ResourceType.produceEvent: ["for path in self.eventPaths:", '(*tuple(path.split("/")), event)'],
    SimpleMQ.produce: ["if self.debug:", "for qref in self.qrefs:", "matchTuple(routingKey, qref.filter)"],
    Properties.setBuildProperties: [
        "('builds', str(buildid), \"properties\")",
        "if k in oldproperties and oldproperties[k] == v:",
        "yield self.master.db.builds.setBuildProperty(buildid, k, v[0], v[1])",
        "yield self.generateUpdateEvent(buildid, to_update)",
    ],
    BaseLock.__init__: ["self.owners = []", "self.waiting = []"],
    BaseLock._addOwner: ["self.owners.append((id(owner), access))"],
    SharedService.getService: ["cls.getName(*args, **kwargs)", "parent.namedServices[name]"],
    BotMaster.getLockByID: ["lockid.lockClass.getService(self, lockid.name)"],
    AbstractLatentWorker.updateWorker: ["if b.name not in self.workerforbuilders:"],
    AbstractWorker.addWorkerForBuilder: ["self.workerforbuilders[wfb.builder_name] = wfb"],
    AbstractWorker.buildFinished: ["self.botmaster.maybeStartBuildsForWorker(self.name)"],
    AbstractLatentWorker.buildFinished: [
        "if not self.building:\n            if self.build_wait_timeout == 0:",
        "self.master.reactor.callLater(0, self._soft_disconnect)",
    ],
    AbstractLatentWorker._soft_disconnect: ["self.insubstantiate(fast)"],
    AbstractLatentWorker.insubstantiate: [
        "if self.state in [States.NOT_SUBSTANTIATED, States.SHUT_DOWN]:\n                return",
        "\n\n        self.botmaster.maybeStartBuildsForWorker(self.name)",
    ],
    AbstractWorker.reconfigServiceWithSibling: ["if self._configured_builderid_list != bids:"],
    AbstractWorker.stopService: ["self.master.data.updates.workerConfigured(self.workerid, self.master.masterid, [])"],
    BuildMaster.stopService: ["masterStopped(name=self.name, masterid=self.masterid)", "yield super().stopService()"],
    WorkerResource._masterDeactivated: ["self.deconfigureAllWorkersForMaster(masterid)"],
    BuildbotService.__init__: ["self._config_args", "self._config_kwargs"],
    BuildbotService.reconfigServiceWithSibling: ["sibling._config_args", "ComparableMixin.isEquivalent(sibling, self)"],
}


@pytest.mark.parametrize(("owner", "name"), CALLED, ids=lambda value: getattr(value, "__name__", value))
def test_a_call_is_there_and_takes_its_arguments(owner: type, name: str) -> None:
    function: Any = inspect.unwrap(getattr(owner, name))
    assert list(inspect.signature(function).parameters)[1:] == CALLED[owner, name]


@pytest.mark.parametrize("function", SAID, ids=lambda function: function.__qualname__)
def test_the_source_says_what_was_read_in_it(function: Any) -> None:
    source = inspect.getsource(inspect.unwrap(function))
    for text in SAID[function]:
        assert text in source


def test_the_states_of_a_latent_worker() -> None:
    names = {"NOT_SUBSTANTIATED", "SUBSTANTIATING_STARTING", "SUBSTANTIATED", "INSUBSTANTIATING", "SHUT_DOWN"}
    assert names <= {state.name for state in States}
