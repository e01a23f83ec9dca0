"""Which builders a slot serves, after each reconfig.

`AbstractLatentWorker.updateWorker` goes by names: a builder of a name that the worker has known gets it never again,
though a reconfig removed that builder, or took the worker out of its list, in between. Here it goes by the builders
that there are, and by what each of them has.

Source: worker/latent.py `updateWorker`; worker/base.py `addWorkerForBuilder`; process/builder.py `addLatentWorker`,
`reconfigServiceWithBuildbotConfig`, `detached`; process/workerforbuilder.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from buildbot.process.workerforbuilder import LatentWorkerForBuilder


class SlotForBuilder(LatentWorkerForBuilder):
    """Keeps its worker while a build runs, also a removed one: the end of a build asks for it."""

    #: of a builder that the worker did not attach to
    remoteCommands: Mapping[str, str] | None = None

    def detached(self) -> None:
        if not self.isBusy():
            super().detached()


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
        if pair in pair.builder.workers:
            pair.builder.workers.remove(pair)
    worker.workerforbuilders.clear()


def serves(worker_name: str, builder: Any, botmaster: Any) -> bool:
    """Is the builder still there, and the worker one of its?"""
    return botmaster.builders.get(builder.name) is builder and worker_name in builder.config.workernames
