"""The signatures for which a master has work now or may have it later: its columns, its steps, what waits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contracts.errors import BadRequirement
from contracts.requirements import Requirements
from master_bridge.buildbot.client import Client


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
            signature = _step_signature(factory)
            if signature is not None:
                found.add(signature)
    return found


def _step_signature(factory: Any) -> str | None:
    """None for any other step, and for requirements that are rendered when the step runs."""
    if not getattr(getattr(factory, "step_class", None), "amqp_capability_step", False):
        return None
    requires = factory.kwargs.get("requires", ())
    texts = [requires] if isinstance(requires, str) else requires
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        return None
    try:
        return Requirements.of(texts).signature
    except BadRequirement:
        return None
