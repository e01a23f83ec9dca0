"""A real Buildbot master as a child process: made from a piece of master.cfg, driven and read over its own REST API."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from contracts.operations.office_url import is_office_url
from contracts.testing.child import Child
from contracts.testing.rabbitmq.ports import free_ports
from tests.harness.environment import program_environment
from tests.harness.forking.process import TWISTD, Forked, forked_master
from tests.harness.waiting import wait_for

T = TypeVar("T")
RESULTS = ("SUCCESS", "WARNINGS", "FAILURE", "SKIPPED", "EXCEPTION", "RETRY", "CANCELLED")
START_TIMEOUT = 60.0
#: Seconds between two looks at what the REST API tells, at first and later: each takes the master, and this machine,
#: some milliseconds.
_LOOK_EVERY = 0.1
_LOOK_SLOWEST = 0.5
_BUILDBOT = "from buildbot.scripts.runner import run; run()"

_TAC = """
import os
from twisted.application import service
from buildbot.master import BuildMaster
basedir = os.path.dirname(os.path.abspath(__file__))
application = service.Application('buildmaster')
master = BuildMaster(basedir, "master.cfg", umask=None)
master.setServiceParent(application)
"""

#: Before the test's own text. Names for it: `c`, AMQP_URL, MASTER, PB_PORT, everything of buildbot.plugins.
_HEAD = """
from buildbot.plugins import *
from buildbot.process.factory import BuildFactory
from master_bridge.buildbot.rest_answers import answer_in_the_reactor
answer_in_the_reactor()  # or Buildbot drops answers of its REST API, with this plugin and without
c = BuildmasterConfig = {{}}
AMQP_URL = {url!r}
MASTER = {name!r}
PB_PORT = {pb_port!r}
BROKER = dict({broker})
c['buildbotNetUsageData'] = None
c['protocols'] = {{'null': {{}}}}
c['www'] = {{'port': 'tcp:{www_port}:interface=127.0.0.1'}}
c['buildbotURL'] = 'http://127.0.0.1:{www_port}/'
c['db'] = {{'db_url': 'sqlite:///state.sqlite'}}
c['services'] = [util.AMQPBroker(url=AMQP_URL, master=MASTER, **BROKER)] if AMQP_URL else []
c['workers'] = []
c['builders'] = []
c['schedulers'] = []
def builder(name, workers, *step_list, **kwargs):
    "A builder with these steps on these workers (names or objects)."
    names = [w if isinstance(w, str) else w.name for w in workers]
    c['builders'].append(util.BuilderConfig(name=name, workernames=names, factory=BuildFactory(step_list), **kwargs))
"""
_TAIL = """
c['schedulers'].append(schedulers.ForceScheduler(name='force', builderNames=[b.name for b in c['builders']]))
"""


@dataclass(frozen=True, kw_only=True)
class Build:
    """A finished build, or the state of one. `steps`: name -> step as the REST API gives it."""

    row: Mapping[str, Any]
    steps: Mapping[str, Mapping[str, Any]]

    @property
    def id(self) -> int:
        return int(self.row["buildid"])

    @property
    def result(self) -> str:
        number = self.row["results"]
        return "RUNNING" if number is None else RESULTS[number]

    def step_result(self, name: str) -> str:
        number = self.steps[name]["results"]
        return "RUNNING" if number is None else RESULTS[number]


class BuildMaster:
    """`start`, `force`, look, `stop`. `broker`: more arguments of AMQPBroker, as they stand in master.cfg."""

    #: Python that runs before all else of its process; such a master is started, for a forked one has imported all.
    prelude = ""
    #: Seconds that a build may take to its end, and those that it may take to start; more where many run at once.
    patience = 60.0
    start_patience = 30.0

    def __init__(self, folder: Path, config: str, *, url: str | None, name: str = "m1", broker: str = "") -> None:
        self.folder = folder
        self.config = config
        self.url = url
        self.name = name
        self.broker = broker
        self.www_port, self.pb_port = free_ports(2)
        self._child: Child | Forked | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "buildbot.tac").write_text(_TAC)
        self.write_config(config)

    @property
    def operators_way(self) -> dict[str, str]:
        """The environment with which `master-bridge` finds this master's fleet, as its operator would."""
        if self.url is not None and is_office_url(self.url):
            return {"MASTER_BRIDGE_MASTER_DIR": str(self.folder)}
        return {"MASTER_BRIDGE_URL": str(self.url)}

    # -- life ---------------------------------------------------------------------------------------------------------

    def write_config(self, config: str) -> None:
        self.config = config
        head = _HEAD.format(
            url=self.url, name=self.name, pb_port=self.pb_port, www_port=self.www_port, broker=self.broker
        )
        (self.folder / "master.cfg").write_text(head + config + _TAIL)

    def create(self, template: Path | None = None) -> None:
        """The database: copied from `template`, or made by Buildbot (some seconds)."""
        if template is not None:
            shutil.copy(template, self.folder / "state.sqlite")
        else:
            made = subprocess.run(
                [sys.executable, "-c", _BUILDBOT, "upgrade-master", "--quiet", str(self.folder)],
                cwd=self.folder, env=self._environment(), capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert made.returncode == 0, made.stdout + made.stderr

    def start(self, wait: bool = True) -> None:
        output = self.folder / "stdout.log"
        if self.prelude:
            program = f"{self.prelude}\nfrom twisted.scripts.twistd import run; run()"
            command = [sys.executable, "-c", program, *TWISTD[1:]]
            self._child = Child(command, output=output, environment=self._environment(), folder=self.folder)
        else:
            self._child = forked_master(self.folder, self._environment(), output)
        if wait:
            self.wait_started()

    def wait_started(self) -> None:
        wait_for(self._started, START_TIMEOUT, lambda: f"master {self.name} runs:\n{self.log()[-4000:]}")

    def _started(self) -> bool:
        if self._child is not None and not self._child.running:
            raise AssertionError(f"master {self.name} ended at its start:\n{self.log()[-6000:]}")
        try:
            self.get("/masters")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def wait_linked(self, timeout: float = 60.0) -> None:
        """The bridge's link to the broker is up."""
        wait_for(lambda: "event=amqp.link_up" in self.log(), timeout, lambda: f"link up:\n{self.log()[-4000:]}")

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def stop(self, timeout: float = 40.0) -> None:
        """As `buildbot stop`."""
        if self._child is not None:
            child, self._child = self._child, None
            child.end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.end(signal.SIGKILL)

    def reconfigure(self, config: str) -> None:
        """As `buildbot reconfig`; returns when it is done, fails where the master did not take all of it."""
        self.write_config(config)
        before = len(self.log())
        os.kill(self.pid, signal.SIGHUP)
        wait_for(
            lambda: "configuration update " in self.log()[before:],
            self.start_patience,
            lambda: f"reconfig:\n{self.log()[-4000:]}",
        )
        assert "configuration update complete" in self.log()[before:], f"reconfig:\n{self.log()[-4000:]}"

    def log(self) -> str:
        path = self.folder / "twistd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _environment(self) -> dict[str, str]:
        return program_environment()

    # -- REST ---------------------------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.www_port}/api/v2{path}", timeout=60) as answer:
            return json.load(answer)

    def call(self, path: str, method: str, **params: Any) -> Any:
        """A JSON-RPC control call: `call("/builds/3", "stop", reason="…")`."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.www_port}/api/v2{path}", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode(errors='replace')}") from None

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of an answer to what a stranger's program sends."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.www_port}{path}", body, dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def builder_id(self, name: str) -> int:
        found = self.get(f"/builders?name={name}")["builders"]
        assert found, f"no builder {name}"
        return int(found[0]["builderid"])

    def force(self, builder: str) -> int:
        """Start a build; returns its build request's id."""
        builder_id = self.builder_id(builder)
        _buildset, requests = self.call("/forceschedulers/force", "force", builderid=str(builder_id))
        return int(requests[str(builder_id)])

    def builds(self, request: int) -> list[Build]:
        """All builds of a request, the first one first."""
        rows = self.get(f"/builds?buildrequestid={request}&order=buildid")["builds"]
        return [self.build(row["buildid"]) for row in rows]

    def build(self, build_id: int) -> Build:
        row = self.get(f"/builds/{build_id}")["builds"][0]
        steps = self.get(f"/builds/{build_id}/steps?order=number")["steps"]
        return Build(row=row, steps={step["name"]: step for step in steps})

    def finished(self, request: int, timeout: float | None = None) -> Build:
        """The last build of `request` when the request is complete."""

        def complete() -> bool:
            return bool(self.get(f"/buildrequests/{request}")["buildrequests"][0]["complete"])

        self._wait_for(
            complete, timeout or self.patience, lambda: f"request {request} complete: {self.describe(request)}"
        )
        return self.builds(request)[-1]

    def started(self, request: int, timeout: float | None = None) -> Build:
        """The request's newest build once there is one."""
        timeout = timeout or self.start_patience
        return self._wait_for(lambda: self.builds(request), timeout, lambda: f"a build of request {request}")[-1]

    def step_running(self, request: int, step: str, timeout: float | None = None) -> Build:
        """The request's newest build, which has not ended, once its step `step` has started."""

        def look() -> Build | None:
            builds = self.builds(request)
            newest = builds[-1] if builds else None
            if newest is None or newest.row["results"] is not None or step not in newest.steps:
                return None
            return newest if newest.steps[step]["started_at"] is not None else None

        timeout = timeout or self.start_patience
        return self._wait_for(look, timeout, lambda: f"step {step} of request {request} runs: {self.describe(request)}")

    def _wait_for(self, look: Callable[[], T | None], timeout: float, what: Callable[[], str]) -> T:
        return wait_for(look, timeout, what, every=_LOOK_EVERY, slowest=_LOOK_SLOWEST)

    def describe(self, request: int) -> str:
        """For a failed test: builds, steps, and the end of the master's log."""
        lines = []
        for build in self.builds(request):
            lines.append(f"build {build.id} {build.result} {build.row['state_string']!r}")
            lines += [f"  {n}: {build.step_result(n)} {s['state_string']!r}" for n, s in build.steps.items()]
        return "\n".join(lines) + "\n" + self.log()[-5000:]

    def step_log(self, build: Build, step: str, name: str = "stdio") -> str:
        """One log as plain lines with Buildbot's stream letters (o, e, h, or none).

        A step that runs has its log a moment after it began: until then it is empty.
        """
        logs = self.get(f"/steps/{build.steps[step]['stepid']}/logs")["logs"]
        found = [log for log in logs if log["name"] == name]
        if not found and not build.row["complete"]:
            return ""
        assert found, f"step {step} has no log {name}: {[log['name'] for log in logs]}"
        log = found[0]
        if not log["num_lines"]:
            return ""
        return str(
            self.get(f"/logs/{log['logid']}/contents?offset=0&limit={log['num_lines']}")["logchunks"][0]["content"]
        )

    def output(self, build: Build, step: str, name: str = "stdio", streams: str = "o") -> str:
        """What a command printed: the log's lines of `streams`, without their letters."""
        lines = self.step_log(build, step, name).splitlines(keepends=True)
        return "".join(line[1:] for line in lines if line[:1] in streams)

    def properties(self, build: Build) -> dict[str, Any]:
        found = self.get(f"/builds/{build.id}/properties")["properties"][0]
        return {name: value for name, (value, _source) in found.items()}

    def worker(self, name: str) -> Mapping[str, Any]:
        return next(worker for worker in self.get("/workers")["workers"] if worker["name"] == name)
