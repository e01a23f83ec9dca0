"""The signatures for which a master has work now or may have it later: its columns, its steps, what waits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from contracts.errors import BadRequirement
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.search.client import Client


def signatures(master: Any, clients: Iterable[Client]) -> set[str]:
    """Of all AMQP workers, of all steps in builders' factories whose requirements are plain texts, of all waiting."""
    found = {client.signature for client in clients}
    for worker in master.workers.workers.values():
        signature = getattr(worker, "signature", None)
        for name in (signature, getattr(worker, "preferred_signature", None)):
            if isinstance(name, str):
                found.add(name)
    for builder in getattr(master.config, "builders", None) or ():
        for factory in getattr(builder.factory, "steps", ()):
            found.update(_step_signatures(factory))
    return found


def _step_signatures(factory: Any) -> Iterator[str]:
    """What such a step requires and what it prefers; nothing for any other, nor for what is rendered when it runs."""
    if not getattr(getattr(factory, "step_class", None), "amqp_capability_step", False):
        return
    requires, prefers = (_plain_texts(factory.kwargs.get(argument, ())) for argument in ("requires", "prefers"))
    if requires is None:
        return
    with contextlib.suppress(BadRequirement):  # which checkConfig has told
        yield Requirements.of(requires).signature
        if prefers:
            yield Requirements.of([*requires, *prefers]).signature


def _plain_texts(value: Any) -> list[str] | None:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) for text in value):
        return None
    return list(value)
