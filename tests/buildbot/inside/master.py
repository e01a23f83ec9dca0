"""A real Buildbot master in the test's process: a database in memory, a clock that the test turns.

Each call of Buildbot's database takes a turn of the reactor, and something may happen in it: `at_await`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import buildbot.util
import pytest
from buildbot.process.results import statusToString
from buildbot.test.fake import reactor as fake_reactor
from buildbot.test.reactor import TestReactorMixin
from buildbot.test.util.integration import TestedMaster
from buildbot.util import eventual, service
from twisted.internet import defer

from contracts.messages import Event
from master_bridge.buildbot.client import Client
from master_bridge.buildbot.internals.fewer_calls import FewerCalls
from master_bridge.core.inputs import Done, Input, InterruptCommand, Keep, Seek, StartCommand, Withdraw
from tests.unit.bridge_edge.building import HOLDER

#: Seconds that a command takes.
COMMAND = 0.2
#: Turns after which something that has not happened will not.
PATIENCE = 600


class Agents:
    """The bridge, and behind it a fleet that takes what is sought (`serves`) and runs commands of one second."""

    incarnation = "inc"

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.serves = True
        #: commands end not before `end_commands`
        self.holds = False
        self._held_back: list[Callable[[], None]] = []
        #: request -> who waits for an agent, or has one
        self.clients: dict[str, Client] = {}
        #: requests that have an agent
        self.held: set[str] = set()
        self.sought: list[Seek] = []
        #: requests that are a step's own command, which its agent starts by itself
        self._offered: set[str] = set()
        self.left: list[Withdraw | Done | Keep] = []
        self._commands: dict[str, int] = {}
        self._seq: dict[str, int] = {}

    def seek(self, client: Client, seek: Seek) -> None:
        assert not self.held & {seek.request}, f"{seek.request} has an agent"
        self.clients[seek.request] = client
        self.sought.append(seek)
        if seek.kind == "command":
            self._offered.add(seek.request)
        self._reactor.callLater(0, self._serve)

    def begin_to_serve(self) -> None:
        self.serves = True
        self._serve()

    def _serve(self) -> None:
        for request, client in list(self.clients.items()):
            if self.serves and request not in self.held:
                self.held.add(request)
                self._commands[request] = self._seq[request] = 0
                client.attach(HOLDER, False)
                if request in self._offered:
                    self._reactor.callLater(COMMAND, self._completed, request, client, 1, 0)

    def leave(self, client: Client, event: Withdraw | Done | Keep) -> None:
        if self.clients.get(event.request) is client:
            self._forget(event.request)
            self.left.append(event)

    def lose(self) -> None:
        """All agents that builds have."""
        for request in list(self.held):
            client = self.clients[request]
            self._forget(request)
            client.lost("its agent was lost")

    def _forget(self, request: str) -> None:
        del self.clients[request]
        self.held.discard(request)

    def feed(self, event: Input) -> None:
        if isinstance(event, StartCommand):
            self._commands[event.request] += 1
            n, client = self._commands[event.request], self.clients[event.request]
            if self.holds:
                self._held_back.append(partial(self._completed, event.request, client, n, 0))
            else:
                self._reactor.callLater(COMMAND, self._completed, event.request, client, n, 0)
        elif isinstance(event, InterruptCommand) and event.request in self.clients:
            self._reactor.callLater(0, self._completed, event.request, self.clients[event.request], event.n, -1)

    def end_commands(self) -> None:
        self.holds = False
        held_back, self._held_back = self._held_back, []
        for complete in held_back:
            complete()

    def _completed(self, request: str, client: Client, n: int, rc: int) -> None:
        if self.clients.get(request) is not client:
            return
        for kind, value in (("update", ["rc", rc]), ("completed", None)):
            self._seq[request] += 1
            if client.session is None:
                return
            client.session.deliver(Event(session="s1", seq=self._seq[request], n=n, kind=kind, value=value))

    def send(self, message: Any, address: str) -> None: ...


class InsideBroker(service.BuildbotService):
    """Takes the place of `AMQPBroker`."""

    name = "amqp-broker"
    down_reason = None

    def reconfigService(self, agents: Agents) -> Any:
        self.bridge = agents
        outlook = SimpleNamespace(agents=1, qualified=1, busy=0, misses=(), unfit=())
        self.fleet = SimpleNamespace(outlook=lambda requirements, now: outlook)
        self.room = SimpleNamespace(shortage=lambda: None, lately_short=lambda: False)
        self.page = SimpleNamespace(feed=SimpleNamespace(expected={}))
        self.swept: list[tuple[str, str]] = []
        return super().reconfigService()

    def startService(self) -> Any:
        self._fewer_calls = FewerCalls()
        self._fewer_calls.keep(self.master)
        return super().startService()

    def stopService(self) -> Any:
        self._fewer_calls.release()
        return super().stopService()

    def seek(self, client: Client, seek: Seek) -> None:
        self.bridge.seek(client, seek)

    def sweep(self, request: str, signature: str, *, soon: bool) -> None:
        self.swept.append((request, signature))

    def columns_changed(self) -> None: ...

    def look_for_builds(self, builder: str) -> None:
        self.master.botmaster.maybeStartBuildsForBuilder(builder)


class _Case(TestReactorMixin):
    """What Buildbot's helpers want of a test case of theirs."""

    def __init__(self, folder: Path, patches: pytest.MonkeyPatch) -> None:
        self._folder, self._patches = folder, patches
        self.cleanups: list[Callable[[], Any]] = []

    def patch(self, what: Any, name: str, value: Any) -> None:
        self._patches.setattr(what, name, value)

    def mktemp(self) -> str:
        return str(self._folder / "basedir")

    def addCleanup(self, work: Callable[[], Any]) -> None:
        self.cleanups.append(work)


class InsideMaster:
    """`start`, `force`, `turn`, `reconfigure`, and questions about requests and builds."""

    def __init__(self, folder: Path, patches: pytest.MonkeyPatch) -> None:
        # a test before this one may have left a turn of this queue to a reactor that is gone
        patches.setattr(eventual, "_theSimpleQueue", eventual._SimpleCallQueue())
        # The test's reactor asks the real one to turn its clock; that one may run in a thread of an earlier test's, and
        # each thread has a database of its own.
        patches.setattr(fake_reactor, "reactor", SimpleNamespace(callLater=lambda when, what: None))
        self._case = _Case(folder, patches)
        self._case.setup_test_reactor()
        self.reactor = self._case.reactor
        patches.setattr(buildbot.util, "asyncSleep", self._sleep)
        self.agents = Agents(self.reactor)
        #: called with the number and name of each call of the database that begins, while it is set
        self.at_await: Callable[[int, str], None] | None = None
        self.awaits: list[str] = []
        self._tested = TestedMaster()
        self._builder_ids: dict[str, int] = {}
        self.master: Any = None

    def _sleep(self, delay: float, reactor: Any = None) -> defer.Deferred[None]:
        result: defer.Deferred[None] = defer.Deferred()
        self.reactor.callLater(delay, result.callback, None)
        return result

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self, config: dict[str, Any]) -> None:
        self.master = self._tested.create_master(self._case, self.reactor, self._whole(config)).result
        self._slow_down(self.master.data.updates)

    def _whole(self, config: dict[str, Any]) -> dict[str, Any]:
        return {
            "services": [InsideBroker(self.agents)], "protocols": {"null": {}}, "multiMaster": True,
            "collapseRequests": False, "buildbotNetUsageData": None, "db_url": "sqlite://", **config,
        }  # fmt: skip

    def reconfigure(self, config: dict[str, Any]) -> None:
        self.wait(self.begin_reconfigure(config), "the reconfig")

    def begin_reconfigure(self, config: dict[str, Any]) -> defer.Deferred[Any]:
        self.master.config_loader.config_dict = self._whole(config)
        result: defer.Deferred[Any] = self.master.doReconfig()
        return result

    def end(self) -> None:
        """Of the master, once."""
        if self.master is not None and self.master.running:
            self.at_await = None
            self.wait(self._tested.shutdown(), "the master's end")
        self._case.tear_down_test_reactor()

    # -- time ---------------------------------------------------------------------------------------------------------

    def turn(self, seconds: float = 0.0) -> None:
        self.reactor.advance(seconds)

    def until(self, condition: Callable[[], Any], what: str) -> None:
        for _ in range(PATIENCE):
            if condition():
                return
            self.turn(0.1)
        raise AssertionError(f"never: {what}\n{self.describe()}")

    def wait(self, deferred: defer.Deferred[Any], what: str) -> Any:
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.until(lambda: results, what)
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]

    def _slow_down(self, updates: Any) -> None:
        for name in dir(updates):
            method = getattr(updates, name)
            if callable(method) and not name.startswith("_"):
                setattr(updates, name, self._in_turns(name, method))

    def _in_turns(self, name: str, method: Callable[..., Any]) -> Callable[..., defer.Deferred[Any]]:
        def call(*args: Any, **kwargs: Any) -> defer.Deferred[Any]:
            number = len(self.awaits)
            self.awaits.append(name)
            answer: defer.Deferred[Any] = defer.Deferred()
            result = defer.maybeDeferred(method, *args, **kwargs)
            self.reactor.callLater(0, self._meanwhile, number, name)
            self.reactor.callLater(0.01, lambda: result.addBoth(answer.callback))
            return answer

        return call

    def _meanwhile(self, number: int, name: str) -> None:
        if self.at_await is not None:
            self.at_await(number, name)

    # -- builds -------------------------------------------------------------------------------------------------------

    def force(self, builder: str, **properties: Any) -> int:
        """A build request's id."""
        if builder not in self._builder_ids:
            self._builder_ids[builder] = self.get("builders", name=builder)[0]["builderid"]
        builder_id = self._builder_ids[builder]
        stamp = {"codebase": "", "repository": "", "branch": None, "revision": None, "project": ""}
        _, requests = self.wait(
            self.master.data.updates.addBuildset(
                waited_for=False, builderids=[builder_id], sourcestamps=[stamp],
                properties={name: (value, "test") for name, value in properties.items()},
            ),
            "a request",
        )  # fmt: skip
        return int(requests[builder_id])

    def get(self, *path: Any, **where: Any) -> Any:
        rows = self.wait(self.master.data.get(path), str(path))
        if not where:
            return rows
        return [row for row in rows if all(row[name] == value for name, value in where.items())]

    def request(self, request: int) -> Any:
        return self.get("buildrequests", request)

    def results(self, request: int) -> list[str]:
        """Of its builds, the first one first; RUNNING for one that is not over."""
        rows = sorted(self.get("buildrequests", request, "builds"), key=lambda row: row["buildid"])
        return [("RUNNING" if row["results"] is None else statusToString(row["results"])).upper() for row in rows]

    def finished(self, request: int) -> list[str]:
        self.until(lambda: not self.running() and self.complete(request), f"request {request} complete")
        return self.results(request)

    def complete(self, request: int) -> bool:
        """As `request(request)["complete"]`, at a hundredth of the price: this is asked at each turn."""
        query = "select complete from buildrequests where id = ?"
        return bool(
            self.master.db.pool.do(lambda connection: connection.exec_driver_sql(query, (request,)).scalar()).result
        )

    def running(self) -> list[Any]:
        """Builds that Buildbot has in hand."""
        return [build for builder in self.master.botmaster.builders.values() for build in builder.building]

    def stop_builds(self) -> None:
        for row in self.get("builds", complete=False):
            self.master.mq.produce(("control", "builds", str(row["buildid"]), "stop"), {"reason": "enough"})

    def describe(self) -> str:
        rows = [str(row) for row in self.master.db.pool.do(_rows).result] if self.master is not None else []
        return "\n".join([f"awaits: {self.awaits[-15:]}", *rows])


def _rows(connection: Any) -> list[Any]:
    found = []
    for table in ("buildrequests", "builds", "steps"):
        found += [(table, *row) for row in connection.exec_driver_sql(f"select * from {table}")]
    return found
