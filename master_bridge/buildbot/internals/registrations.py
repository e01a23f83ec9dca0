"""Which builders a slot serves, after each reconfig.

`AbstractLatentWorker.updateWorker` goes by names: a builder of a name that the worker has known gets it never again,
though a reconfig removed that builder, or took the worker out of its list, in between. Here it goes by the builders
that there are, and by what each of them has.

A master has a thousand places, and a reconfig that changes nothing asks each of them which builders it serves:
`Registrations` answers all of them by one walk through the builders' lists.

Source: worker/latent.py `updateWorker`; worker/base.py `addWorkerForBuilder`; process/botmaster.py
`getBuildersForWorker`; process/builder.py `addLatentWorker`, `reconfigServiceWithBuildbotConfig`, `detached`;
process/workerforbuilder.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import Any

from buildbot.process.workerforbuilder import LatentWorkerForBuilder


class SlotForBuilder(LatentWorkerForBuilder):
    """Keeps its worker while a build runs, also a removed one: the end of a build asks for it."""

    #: of a builder that the worker did not attach to
    remoteCommands: Mapping[str, str] | None = None

    def detached(self) -> None:
        if not self.isBusy():
            super().detached()


class Registrations:
    """Which builders list which worker, and have it. `of(botmaster)`: one for all workers of a master."""

    def __init__(self, botmaster: Any) -> None:
        self._botmaster = botmaster
        self._configs: list[Any] = []
        self._builders: dict[str, list[Any]] = {}
        #: builder -> the list of its pairs, how long it was, and which they were
        self._pairs: dict[Any, tuple[list[Any], int, frozenset[int]]] = {}

    @staticmethod
    def of(botmaster: Any) -> Registrations:
        found = getattr(botmaster, "amqp_registrations", None)
        if not isinstance(found, Registrations):
            found = botmaster.amqp_registrations = Registrations(botmaster)
        return found

    def builders(self, worker_name: str) -> Sequence[Any]:
        """As `BotMaster.getBuildersForWorker`."""
        configs = [builder.config for builder in self._botmaster.builders.values()]
        if len(configs) != len(self._configs) or not all(map(is_, configs, self._configs)):
            self._configs, self._builders, self._pairs = configs, {}, {}
            for builder in self._botmaster.builders.values():
                for name in dict.fromkeys(builder.config.workernames) if builder.config is not None else ():
                    self._builders.setdefault(name, []).append(builder)
        return self._builders.get(worker_name, ())

    def unchanged(self, worker: Any, builders: Sequence[Any], before: Sequence[Any] | None) -> bool:
        """Are `builders` the very ones of `before`, and does each have the worker still?"""
        if before is None or len(builders) != len(before) or not all(map(is_, builders, before)):
            return False
        known = worker.workerforbuilders
        return len(known) == len(builders) and all(
            (pair := known.get(builder.name)) is not None and pair.builder is builder and self._has(builder, pair)
            for builder in builders
        )

    def _has(self, builder: Any, pair: Any) -> bool:
        pairs, found = builder.workers, self._pairs.get(builder)
        if found is None or found[0] is not pairs or found[1] != len(pairs):
            found = self._pairs[builder] = (pairs, len(pairs), frozenset(map(id, pairs)))
        return id(pair) in found[2]


def update(worker: Any, busy: Mapping[Any, Any], look_for_builds: Callable[[str], None]) -> None:
    """`busy`: those of its pairs with a builder that have a build, also of builders that it serves no more.
    `look_for_builds`: for the builder of that name, which has one more place now."""
    wanted = {builder.name: builder for builder in worker.botmaster.getBuildersForWorker(worker.name)}
    known = worker.workerforbuilders
    for name, pair in list(known.items()):
        if wanted.get(name) is not pair.builder:
            del known[name]
            pair.builder.workers = [other for other in pair.builder.workers if other is not pair]
    for name, builder in wanted.items():
        pair = known.get(name)
        if pair is None:
            pair = next((it for it in busy if it.builder is builder), None) or SlotForBuilder(worker, builder)
            known[name] = pair
        if pair not in builder.workers:
            builder.workers.append(pair)
            look_for_builds(name)


def leave(worker: Any) -> None:
    """An idle worker leaves its builders, as with `BotMaster.workerLost`, without a line in the log for each builder: a
    master that stops has a thousand workers leave."""
    for pair in list(worker.workerforbuilders.values()):
        pairs = pair.builder.workers
        if pairs and pairs[-1] is pair:  # services stop in the opposite order of their start
            pairs.pop()
        elif pair in pairs:
            pairs.remove(pair)
    worker.workerforbuilders.clear()


def serves(worker_name: str, builder: Any, botmaster: Any) -> bool:
    """Is the builder still there, and the worker one of its?"""
    return botmaster.builders.get(builder.name) is builder and worker_name in builder.config.workernames
