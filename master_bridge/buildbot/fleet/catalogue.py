"""The signatures for which a master has work now or may have it later: its columns, its steps, what waits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from contracts.errors import BadRequirement
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.client import Client
from master_bridge.buildbot.worker_settings import asked


def signatures(master: Any, clients: Iterable[Client]) -> set[str]:
    """Of all AMQP workers, of all steps in builders' factories whose requirements are plain texts, of all waiting."""
    found = {client.signature for client in clients}
    for worker in master.workers.workers.values():
        signature = getattr(worker, "signature", None)
        for name in (signature, getattr(worker, "preferred_signature", None)):
            if isinstance(name, str):
                found.add(name)
    sealed = {name for name, worker in master.workers.workers.items() if getattr(worker, "seal", False)}
    for builder in getattr(master.config, "builders", None) or ():
        among_sealed = not sealed.isdisjoint(getattr(builder, "workernames", ()))
        for factory in getattr(builder.factory, "steps", ()):
            found.update(_step_signatures(factory, among_sealed))
    return found


def _step_signatures(factory: Any, among_sealed: bool) -> Iterator[str]:
    """What such a step requires and what it prefers; nothing for any other, nor for what is rendered when it runs.

    `among_sealed`: a worker of its builder's has a seal, and so has a step that does not say otherwise.
    """
    if not getattr(getattr(factory, "step_class", None), "amqp_capability_step", False):
        return
    requires, prefers = (_plain_texts(factory.kwargs.get(argument, ())) for argument in ("requires", "prefers"))
    if requires is None:
        return
    given = factory.kwargs.get("seal")
    for seal in {False, among_sealed} if given is None else {given}:
        needs = asked(requires, bool(seal))
        with contextlib.suppress(BadRequirement):  # which checkConfig has told
            yield Requirements.of(needs).signature
            if prefers:
                yield Requirements.of([*needs, *prefers]).signature


def _plain_texts(value: Any) -> list[str] | None:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) for text in value):
        return None
    return list(value)
