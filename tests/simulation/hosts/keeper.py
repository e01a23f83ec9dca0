"""A model keeper: runs model commands for a while, journals what they say, outlives the agent's main process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from contracts.messages import Command, Event, Offer
from contracts.testing.clock import Timer
from tests.simulation.ledger import Execution
from worker_agent.core.inputs import KeeperLost
from worker_agent.keeper import orders, wire
from worker_agent.keeper.settings import KeeperConfig, KeeperSettings
from worker_agent.keepers.client import KeeperInput, news_of

if TYPE_CHECKING:
    from tests.simulation.hosts.agent_host import AgentHost

#: A keeper whose main process is gone this long ends everything: nobody watches its command.
ORPHAN_AFTER = 5.0
#: Asked-for bytes of a download that do not come are asked for again.
PULL_AGAIN = 3.0
_BULK = b"x" * (256 * 1024)


class Keeper:
    """`args` of a model command: `duration` (seconds), `chunks`, `bulk` (chunks of 256 KiB), `pull` (bytes), `rc`."""

    def __init__(self, host: AgentHost, offer: Offer, session: str) -> None:
        self.host = host
        self.offer = offer
        self.session = session
        self.alive = True
        #: no main process is attached
        self.orphaned = False
        self.command: Command | None = None
        self._execution: Execution | None = None
        self._left: list[tuple[str, bytes]] = []
        self._pace = 0.0
        #: bytes of its download that came; -1: it asked for none
        self._pulled = -1
        self._timer: Timer | None = None
        self._fence: Timer | None = None
        self._orphan: Timer | None = None
        self._clock = host.world.clock
        self._fencing = self._config().settings.fencing
        self.contact()

    def _config(self) -> KeeperConfig:
        """What the main process tells it when it starts."""
        config = KeeperConfig(
            session=self.session,
            folder="/",
            basedir="/",
            builddir=self.offer.builddir,
            settings=KeeperSettings(fencing=self.offer.fencing),
        )
        return KeeperConfig.loads(config.dumps())

    # ---- what the main process asks for

    def hear(self, order: orders.Said, data: bytes = b"") -> None:
        """An order comes over the socket."""
        if self.alive:
            for message, bulk in wire.Frames().feed(wire.encode(order, len(data)) + data):
                orders.carry_out(message, bulk, self)

    def run(self, n: int, name: str, args: Mapping[str, Any], digest: str) -> None:
        command = Command(n=n, name=name, args=dict(args), digest=digest)
        self._started(command)
        self._execution = Execution(
            request=self.offer.request,
            session=self.session,
            n=command.n,
            digest=command.digest,
            host=self.host.name,
            strict=self.offer.fencing is not None,
            started=self._clock.now,
        )
        self.host.world.ledger.executes(self._execution, self.offer.master)
        self.host.world.note(self.host.name, lambda: f"runs {self.offer.request} command {command.n} ({self.session})")
        chunks = args.get("chunks", 1)
        data = _BULK if args.get("bulk") else f"{self.session}/{command.n}\n".encode()
        self._left = [("stdout", data)] * chunks
        self._pace = args["duration"] / (chunks + 1)
        if args.get("pull"):
            self._pull(command, 0, args["pull"])
        else:
            self._timer = self._later(self._pace, self._step)

    def complete_unstarted(self, n: int, name: str, digest: str, reason: str) -> None:
        self._started(Command(n=n, name=name, args={}, digest=digest))
        self._complete(reason=reason)

    def interrupt(self, n: int, reason: str) -> None:
        if self.command is not None and self.command.n == n:
            self._complete(reason=reason)

    def feed(self, n: int, offset: int, size: int, data: bytes) -> None:
        if self.command is None or self.command.n != n or not self._execution:
            return
        if offset == self._pulled:
            self._pulled += len(data)
            if self._timer is not None:
                self._timer.cancel()
            if self._pulled >= size:
                self._timer = self._later(self._pace, self._step)
            else:
                self._pull(self.command, self._pulled, size)

    def trim(self, seq: int) -> None:
        """Model journals have no bound."""

    def contact(self) -> None:
        """The bridge was heard."""
        if self._fencing is not None and self.alive:
            if self._fence is not None:
                self._fence.cancel()
            self._fence = self._later(self._fencing, self._fence_falls)

    def _fence_falls(self) -> None:
        """It ends what runs; a session in which nothing does is the main process's affair."""
        if self.executing:
            self.kill("fenced: no contact")

    # ---- what happens to it

    def main_gone(self) -> None:
        self.orphaned = True
        self._orphan = self._later(ORPHAN_AFTER, self.kill, "main process gone")

    def main_back(self) -> None:
        self.orphaned = False
        if self._orphan is not None:
            self._orphan.cancel()

    def kill(self, reason: str) -> None:
        """The keeper and all its processes end; the main process, if there, sees it."""
        if self.alive:
            self.host.world.note(self.host.name, f"keeper of {self.session} ends: {reason}")
            self.end()
            self._tell_lost(reason)

    def end(self) -> None:
        """All processes of the session end, without a word."""
        self.alive = False
        for timer in (self._timer, self._fence, self._orphan):
            if timer is not None:
                timer.cancel()
        self._over()

    def out_of_memory(self) -> None:
        """The system kills the command, not the keeper."""
        if self.alive and self._execution is not None:
            self._complete(infrastructure="killed by the system: out of memory")

    @property
    def executing(self) -> bool:
        return self._execution is not None

    # ---- the command

    def _started(self, command: Command) -> None:
        self.command = command
        self._journal("started", value={"name": command.name, "digest": command.digest})

    def _step(self) -> None:
        assert self.command is not None
        if self._left:
            kind, data = self._left.pop()
            self._journal(kind, data=data)
            self._timer = self._later(self._pace, self._step)
        else:
            self._complete()

    def _pull(self, command: Command, offset: int, size: int) -> None:
        self._pulled = offset
        length = min(size - offset, 256 * 1024)
        self._tell(orders.pull(command.n, offset, length))
        self._timer = self._later(PULL_AGAIN, self._pull, command, offset, size)

    def _complete(self, reason: str | None = None, infrastructure: str | None = None) -> None:
        assert self.command is not None
        if self._timer is not None:
            self._timer.cancel()
        rc = self.command.args.get("rc", 0) if reason is None and infrastructure is None else -1
        self._over()
        self._journal("update", value=["rc", rc])
        self._journal("completed", interrupted=reason, infrastructure=infrastructure)
        self.command = None

    def _over(self) -> None:
        if self._execution is not None:
            self.host.world.ledger.ends(self._execution, self._clock.now)
            self._execution = None

    def _journal(self, kind: Any, value: Any = None, data: bytes = b"", **more: str | None) -> None:
        assert self.command is not None
        seq = self.host.disk.append(self.session, self.command.n, kind, value, data, **more)
        self.host.world.ledger.journalled(
            Event(session=self.session, seq=seq, n=self.command.n, kind=kind, value=value, data=data, **more)
        )
        self._tell(orders.journalled(seq))

    def _tell(self, message: orders.Said) -> None:
        """Through its socket."""
        for said, _ in wire.Frames().feed(wire.encode(message)):
            news = news_of(self.session, said)
            if news is not None:
                self._hear_main(news)

    def _tell_lost(self, reason: str) -> None:
        """The main process sees the socket close."""
        self._hear_main(KeeperLost(session=self.session, reason=reason))

    def _hear_main(self, news: KeeperInput) -> None:
        if not self.orphaned:
            # never from within: the main process hears of it through a socket
            self._clock.call_later(0.0005, self.host.hear_keeper, self.host.process, news)

    def _later(self, delay: float, call: Any, *args: Any) -> Timer:
        """After `delay`, or when the machine runs again; can be cancelled until then."""
        alarm = Timer(self._clock.now + delay, call, args)
        self._clock.call_later(delay, self.host.when_thawed, self._rings, alarm)
        return alarm

    @staticmethod
    def _rings(alarm: Timer) -> None:
        if not alarm.cancelled:
            alarm.fire()
