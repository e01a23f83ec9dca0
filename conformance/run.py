"""Runs the requirements against an agent, one after the other."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.broker import Broker
from conformance.checks import REQUIREMENTS
from conformance.cutting import Cutter, ManagementCutter, OfficeCutter, ProxyCutter
from conformance.errors import BadOptions, Violated
from conformance.master import Master
from conformance.office.entrance import Entrance
from conformance.office.office import KitOffice
from conformance.office.sockets import AMPEntrance, StreamEntrance
from conformance.office.wires import AMP, STREAM, ZMQ
from conformance.report import Report, Result
from conformance.requirement import ProtocolRequirement
from conformance.stage import Stage
from conformance.watch import Watch
from conformance.worker import WorkerProcess
from contracts.operations.extras import how_to_install


@dataclass(frozen=True, kw_only=True)
class KitOptions:
    """What a run of the kit is given: a broker, the agent's command, and how long to wait."""

    #: amqp://… of a vhost that nobody else uses meanwhile; None: the agent speaks frames, over `wire`
    url: str | None
    #: one of `conformance.office.wires.WIRES`
    wire: str = STREAM
    #: starts the agent; `{url}` or `{connect}`, `{state}` and `{signature}` are filled in
    command: Sequence[str]
    signature: str = "conformance"
    #: seconds to wait for anything that should come at once
    patience: float = 10.0
    #: http://user:password@host:15672 to cut connections with, instead of a relay on loopback
    management_url: str | None = None
    #: ids, or beginnings of ids, of the requirements to check; none: all
    only: Sequence[str] = ()


class Kit:
    """One agent under test, and a master to play with. A context manager; raises `BadOptions` and pika's errors."""

    def __init__(self, options: KitOptions) -> None:
        self.options = options
        self._generation = 0
        self.watch = Watch()
        self.cutter, connect = _way(options)
        try:
            self.master = Master(connect, signature=options.signature, patience=options.patience, watch=self.watch)
        except BaseException:
            self.cutter.close()
            raise
        self._folder = Path(tempfile.mkdtemp(prefix="conformance-"))
        self.stage = Stage(self.master, self.cutter, self._start_worker)

    def _start_worker(self, same_state: bool) -> WorkerProcess:
        if not same_state:
            self._generation += 1
        state = self._folder / f"worker-{self._generation}"
        options = self.options
        return WorkerProcess(options.command, url=self.cutter.url, state=state, signature=options.signature)

    def check(self, requirement: ProtocolRequirement) -> Result:
        """One requirement. After a failure the agent is replaced by a fresh one."""
        begun = time.monotonic()
        found = len(self.watch.violations)
        what, message = "", None
        try:
            if requirement.own_worker:
                self.stage.end_worker()
            self.master.forget()
            self.stage.ready()
            requirement.check(self.stage)
            self.master.pump()
        except Violated as violated:
            what, message = violated.what, violated.message
            worker = self.stage.worker
            if worker is not None and not worker.running and not requirement.own_worker:
                what += f" (the agent has ended with status {worker.status})"
        for violation in self.watch.violations[found:]:
            if violation.id == requirement.id and not what:
                what, message = violation.what, violation.message
        if what or requirement.own_worker:
            self.stage.end_worker()
        return Result(
            requirement=requirement,
            outcome="fail" if what else "pass",
            what=what,
            message=message,
            seconds=time.monotonic() - begun,
        )

    def report(self, results: Iterable[Result]) -> Report:
        """With what was seen in passing: a scene that went well does not excuse what another one showed."""
        final = []
        for result in results:
            seen = [v for v in self.watch.violations if v.id == result.requirement.id]
            if result.passed and seen:
                result = replace(result, outcome="fail", what=seen[0].what, message=seen[0].message)
            final.append(result)
        return Report(results=tuple(final), broker=self.master.broker.product)

    def close(self) -> None:
        """Ends the agent, leaves the broker without a queue of the kit's, removes the folder."""
        self.stage.end_worker()
        self.master.broker.close()
        self.cutter.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Kit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def selected(only: Sequence[str]) -> tuple[ProtocolRequirement, ...]:
    """The requirements that `only` names. Raises `BadOptions` for a name that none has."""
    for name in only:
        if not any(_is(requirement, name) for requirement in REQUIREMENTS):
            raise BadOptions(f"no requirement is called {name!r}; `--list` shows them")
    return tuple(r for r in REQUIREMENTS if not only or any(_is(r, name) for name in only))


def run_kit(options: KitOptions, *, on_result: Callable[[Result], None] = lambda _: None) -> Report:
    """All of it. `on_result` hears of each requirement as soon as it is checked."""
    requirements = selected(options.only)
    with Kit(options) as kit:
        results = []
        for requirement in requirements:
            results.append(kit.check(requirement))
            on_result(results[-1])
        return kit.report(results)


def _is(requirement: ProtocolRequirement, name: str) -> bool:
    return requirement.id == name or requirement.id.startswith(f"{name}.")


def _way(options: KitOptions) -> tuple[Cutter, Callable[[str], Broker | KitOffice]]:
    """What cuts the agent's connections, and what makes the broker of a master of some name. Raises `BadOptions`."""
    signature, url = options.signature, options.url
    if url is None:
        office = KitOffice(_entrance(options.wire), signature=signature)
        return OfficeCutter(office), office.of_master

    def connect(name: str) -> Broker:
        return Broker(url, name=name, signature=signature)

    if options.management_url is not None:
        return ManagementCutter(url, options.management_url), connect
    if url.startswith("amqps:"):
        raise BadOptions(
            "amqps:// cannot pass through the kit's relay, whose name no certificate has: "
            "give --management-url, with which connections can be cut"
        )
    return ProxyCutter(url), connect


def _entrance(wire: str) -> Entrance:
    """Raises `BadOptions`."""
    if wire != ZMQ:
        return AMPEntrance() if wire == AMP else StreamEntrance()
    try:
        from conformance.office.zeromq import ZMQEntrance
    except ImportError as error:
        raise BadOptions(f"ZeroMQ cannot be used: {error}; {how_to_install('zmq')}") from None
    return ZMQEntrance()
