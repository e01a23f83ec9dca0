"""Doubles of what surrounds a slot: Buildbot's build and master, and the broker with its bridge."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from buildbot.process.properties import Properties
from buildbot.util import Notifier
from twisted.internet import defer
from twisted.internet.task import Clock

from contracts.messages import WorkerInfo
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.client import Client
from master_bridge.core.actions import Holder
from master_bridge.core.inputs import Done, Input, Keep, Seek, Withdraw

HOLDER = Holder(
    session="s1",
    agent="a1",
    instance="i1",
    address="agent.u.i1.n",
    capabilities=(),
    worker=WorkerInfo(version="1", basedir="/b"),
)


class FakeBridge:
    incarnation = "inc"

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.fed: list[Input] = []

    def leave(self, client: Client, event: Withdraw | Done | Keep) -> None:
        """As the real one: who is not its request's client (any more) has nothing to leave."""
        if self.clients.get(event.request) is client:
            del self.clients[event.request]
            self.fed.append(event)

    def feed(self, event: Input) -> None:
        self.fed.append(event)

    @property
    def told(self) -> list[str]:
        return [type(event).__name__ for event in self.fed]


class FakeBroker:
    """Like `AMQPBroker` towards slots. `bridge` None: it does not run."""

    down_reason = None

    def __init__(self) -> None:
        self.bridge: FakeBridge | None = FakeBridge()
        outlook = SimpleNamespace(agents=1, qualified=1, busy=0, misses=(), unfit=())
        self.fleet = SimpleNamespace(outlook=lambda requirements, now: outlook)
        self.room = SimpleNamespace(shortage=lambda: None, lately_short=lambda: False)
        self.page = SimpleNamespace(feed=SimpleNamespace(expected={}))

    def seek(self, client: Client, seek: Seek) -> None:
        if self.bridge is not None:
            self.bridge.clients[seek.request] = client
            self.bridge.fed.append(seek)

    def columns_changed(self) -> None: ...

    def look_for_builds(self, builder: str) -> None: ...


class Updates:
    """Of Buildbot's database: notes what it is told, and does it at once."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def update(*args: Any, **kwargs: Any) -> defer.Deferred[None]:
            self.made.append((name, *args, *kwargs.values()))
            return defer.succeed(None)

        return update

    def names(self) -> list[str]:
        return [made[0] for made in self.made]


class FakeMaster:
    def __init__(self) -> None:
        self.reactor = Clock()
        self.running = True
        self.masterid = 1
        self.config = SimpleNamespace(buildbotURL="http://buildbot/")
        self.connections: list[Any] = []
        self.updates = Updates()
        self.data = SimpleNamespace(updates=self.updates)
        self.workers = SimpleNamespace(newConnection=self._connected)
        self.botmaster = SimpleNamespace(
            shuttingDown=False,
            brd=SimpleNamespace(running=True),
            getBuildersForWorker=lambda name: [],
            maybeStartBuildsForWorker=lambda name: None,
            maybeStartBuildsForBuilder=lambda name: None,
            workerLost=lambda worker: None,
            builders={},
        )

    def _connected(self, connection: Any, name: str) -> defer.Deferred[bool]:
        self.connections.append(connection)
        return defer.succeed(True)

    def stop_quickly(self) -> None:
        self.botmaster.shuttingDown, self.botmaster.brd.running = True, False


class FakeBuild:
    """As far as `_startBuildFor` and `startBuild` bring a build; `numbered` is their `addBuild`."""

    def __init__(self, request: int = 7, *, others: tuple[str, ...] = ()) -> None:
        self.requests = [SimpleNamespace(id=request, priority=0, waitedFor=False)]
        config = SimpleNamespace(workerbuilddir="b", workernames=["gtk-1", *others])
        self.builder: Any = SimpleNamespace(name="b", config=config, building=[self], workers=[], master="m")
        self.workerforbuilder: Any = None
        self.buildid: int | None = None
        self.number: int | None = None
        self.do_build = True
        self.stopped = self.finished = False
        self.results: int | None = 0
        self.text: list[str] = []
        self.executedSteps: list[Any] = []
        self.properties = Properties()
        self._preparation_step: Any = None
        self._notifier: Notifier[int] = Notifier()
        self.stops: list[tuple[str, int]] = []

    def getProperties(self) -> Properties:
        return self.properties

    def setProperty(self, name: str, value: Any, source: str) -> None:
        self.properties.setProperty(name, value, source)

    def get_buildid(self) -> defer.Deferred[int]:
        return self._notifier.wait()

    def numbered(self, number: int = 70) -> None:
        self.buildid = self.number = number
        self._notifier.notify(number)

    def prepared(self) -> None:
        """Its preparation step is in the database."""
        self._preparation_step = SimpleNamespace(stepid=1)

    def startBuild(self, workerforbuilder: Any) -> defer.Deferred[None]:
        return defer.succeed(None)

    def buildFinished(self, text: list[str], results: int) -> defer.Deferred[None]:
        return defer.succeed(None)

    def stopBuild(self, reason: str, results: int) -> None:
        self.stops.append((reason, results))
        self.stopped, self.results = True, results


class FakeWorker:
    """A slot's latent worker."""

    name = "gtk-1"

    def __init__(self) -> None:
        self.master: Any = FakeMaster()
        self.attached_to: list[Any] = []
        self.failures: list[Any] = []
        self.removed = False

    def attached(self, conn: Any) -> defer.Deferred[None]:
        self.attached_to.append(conn)
        return defer.succeed(None)

    def cannot_substantiate(self, failure: Any) -> None:
        self.failures.append(failure)

    def build_starts(self) -> None: ...

    def command_starts(self) -> None: ...

    def is_removed(self) -> bool:
        return self.removed


GTK = Requirements.of(["gtk"])


class Scenery:
    """What each scene around a `FakeBroker` sees of its bridge."""

    broker: FakeBroker

    @property
    def bridge(self) -> FakeBridge:
        assert self.broker.bridge is not None
        return self.broker.bridge

    @property
    def told(self) -> list[str]:
        """What the bridge was told."""
        return self.bridge.told
