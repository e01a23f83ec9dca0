"""Where the cases are played: a private broker, the peers, and their input files, in a folder that goes away."""

from __future__ import annotations

import compileall
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from types import TracebackType

from benchmarks.report.figures import Figure, Wrong
from benchmarks.stand.logs import StoredLog, numbered_lines
from benchmarks.stand.peers import USUAL, Peer
from benchmarks.stand.postgres import Postgres
from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.harness.master import BuildMaster

MB = 1_000_000
PROJECT = Path(__file__).parents[2]
#: Packages of ours that run in what is measured.
PACKAGES = ("contracts", "worker_agent", "master_bridge")


class Stage:
    """`rounds` of each measurement, peers interleaved; `quick`: smaller inputs.

    `documented`: agents as README starts them; `agents`: the sizes of the fleets of `thousands`, instead of its own,
    `parts`: what of it is measured, each for at most `part_minutes`.
    `minutes`: how long `soak` takes. `postgres`: masters have databases of PostgreSQL, not SQLite.
    """

    def __init__(
        self,
        *,
        rounds: int,
        quick: bool,
        documented: bool = False,
        agents: Sequence[int] = (),
        parts: Sequence[str] = (),
        part_minutes: float = 3.0,
        minutes: float = 30.0,
        postgres: bool = False,
        names: Sequence[str] = USUAL,
        say: Callable[[str], None],
    ) -> None:
        self.rounds = rounds
        self.quick = quick
        self.documented = documented
        self.agents = tuple(agents)
        self.parts = tuple(parts)
        self.part_minutes = part_minutes
        #: monotonic seconds at which a part of `thousands` is given up
        self.deadline = math.inf
        self.minutes = minutes
        self._postgres = postgres
        self.names = tuple(names)
        self.say = say
        self.figures: list[Figure] = []
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self.steps = 25 if quick else 80
        self.log_bytes = (5 if quick else 25) * MB
        self.transfer_bytes = (16 if quick else 64) * 1024 * 1024
        self._started: list[Peer] = []

    def __enter__(self) -> Stage:
        # as all that is installed is compiled, the peers' programs too: where Python may not write bytecode
        # (PYTHONDONTWRITEBYTECODE), each of our processes would compile 180 modules at its start otherwise
        for package in PACKAGES:
            compileall.compile_dir(PROJECT / package, quiet=2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._started:
                with ThreadPoolExecutor(len(self._started)) as pool:
                    list(pool.map(Peer.stop, self._started))
            for part in ("node", "postgres"):
                if part in self.__dict__:
                    getattr(self, part).stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @cached_property
    def node(self) -> RabbitMQNode:
        node = RabbitMQNode(self.folder / "broker")
        node.start()
        return node

    @cached_property
    def postgres(self) -> Postgres:
        postgres = Postgres(self.folder / "postgres")
        postgres.start()
        return postgres

    @cached_property
    def log_sent(self) -> StoredLog:
        return numbered_lines(self.folder / "log.txt", self.log_bytes)

    @cached_property
    def log8_sent(self) -> StoredLog:
        return numbered_lines(self.folder / "log8.txt", self.log_bytes // 4)

    @cached_property
    def transfer_file(self) -> Path:
        """Random bytes: nothing on the way can make them smaller."""
        path = self.folder / "transfer.bin"
        with path.open("wb") as file:
            for _ in range(self.transfer_bytes // (1024 * 1024)):
                file.write(os.urandom(1024 * 1024))
        return path

    @cached_property
    def template(self) -> Path:
        """A master's database before its first start."""
        config = "c['workers'] = [worker.Worker('w', 'p')]\nbuilder('b', c['workers'])\n"
        master = BuildMaster(self.folder / "template", config, url=None)
        master.create()
        return master.folder / "state.sqlite"

    @cached_property
    def peers(self) -> list[Peer]:
        """All peers, started, with one worker each."""
        assert self.log_sent
        assert self.log8_sent
        if not self._postgres:
            with ThreadPoolExecutor(1) as pool:  # both are seconds of one process, mostly
                made = pool.submit(lambda: self.template)
                assert self.node
                made.result()
        builders: dict[str, object] = {
            "steps": self.steps,
            "transfer": str(self.transfer_file),
            "log": str(self.folder / "log.txt"),
            "log8": str(self.folder / "log8.txt"),
        }
        for name in self.names:
            database = self.postgres.database(f"bench_{len(self._started)}") if self._postgres else self.template
            peer = Peer(name, self.folder / name, self.node.url, database, builders, documented=self.documented)
            self._started.append(peer)
            peer.start()
        for peer in self._started:
            peer.wait()
            peer.renew()
        return self._started

    def measure(
        self,
        case: str,
        what: str,
        unit: str,
        better: str,
        play: Callable[[Peer], float],
        *,
        rounds: int | None = None,
        peers: Sequence[Peer] | None = None,
    ) -> None:
        """Play once on every peer, and again, for all rounds. One that gives a wrong result has no figure."""
        values: dict[str, list[float]] = {}
        failures: dict[str, str] = {}
        playing = list(self.peers if peers is None else peers)
        for _ in range(self.rounds if rounds is None else rounds):
            for peer in playing:
                if peer.name in failures:
                    continue
                peer.settle()
                try:
                    values.setdefault(peer.name, []).append(play(peer))
                except (Wrong, AssertionError) as error:
                    failures[peer.name] = (str(error) or repr(error)).splitlines()[0][:300]
        for peer in playing:
            failure = failures.get(peer.name)
            self.add(case, what, peer.name, unit, better, [] if failure else values.get(peer.name, []), failure=failure)

    def add(
        self,
        case: str,
        what: str,
        peer: str,
        unit: str,
        better: str,
        values: Sequence[float],
        failure: str | None = None,
    ) -> None:
        figure = Figure(
            case=case, what=what, peer=peer, unit=unit, better=better, values=tuple(values), failure=failure
        )
        self.figures.append(figure)
        told = (
            f"{figure.median:.4g} {unit} ({figure.spread[0]:.4g} … {figure.spread[1]:.4g})"
            if figure.spread is not None
            else f"no figure: {failure}"
        )
        self.say(f"{case:10} {what:34} {peer:12} {told}")
