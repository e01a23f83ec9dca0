"""Which agents an operator means: by name, by the beginning of the instance, or by what they offer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from contracts.agent_names import AT
from contracts.errors import BadRequirement
from contracts.messages import Status
from contracts.requirements.sets import Requirements
from contracts.topology import key_word
from master_bridge.operating.errors import OperatingError
from master_bridge.operating.survey import Whose, whose

#: The beginning of an instance that names it: of a uuid, so that nobody's instance passes for a name.
_INSTANCE = re.compile("[0-9a-f-]{4,}")


def select(agents: Iterable[Status], names: Sequence[str], match: Sequence[str]) -> list[Status]:
    """Those that are named and those that satisfy all of `match`, each once.

    A name is what `fleet` shows, an instance or its beginning; both may say the account: NAME@ACCOUNT. Raises
    `OperatingError` for what nobody or more than one is called, and when neither is given.
    """
    alive = list(agents)
    if not names and not match:
        raise OperatingError("name agents, or choose them with --match REQUIREMENT (--match any: all)")
    chosen: dict[Whose, Status] = {}
    for name in names:
        one = _one(alive, name)
        chosen[whose(one)] = one
    if match:
        try:
            requirements = Requirements.of([] if list(match) == ["any"] else match)
        except BadRequirement as error:
            raise OperatingError(f"--match: {error}") from None
        chosen |= {whose(status): status for status in alive if requirements.satisfied_by(status.capabilities)}
    return list(chosen.values())


def _one(alive: Sequence[Status], name: str) -> Status:
    """An account's own name means its own agent, whoever else calls itself so. Raises `OperatingError`."""
    own = [status for status in alive if status.agent == name and whose(status)[0] == key_word(name)]
    found = own or [status for status in alive if name in _names(status) or _has_instance(status, name)]
    if len({whose(status) for status in found}) > 1:
        which = ", ".join(f"{status.instance}@{whose(status)[0]}" for status in found)
        raise OperatingError(f"{len(found)} agents are named {name!r}: name one by its instance ({which})")
    if not found:
        known = ", ".join(sorted({status.agent for status in alive})) or "none"
        raise OperatingError(f"no agent {name!r} is alive; alive: {known}")
    (only,) = found
    if name == _told(only) != only.agent:
        raise OperatingError(
            f"an agent of another account calls itself {name!r}: if you mean that one, say {only.agent}"
        )
    return only


def _told(status: Status) -> str:
    """What it calls itself: the name as it is shown (`agent_names`), without its account."""
    return status.agent.removesuffix(f"{AT}{whose(status)[0]}")


def _names(status: Status) -> tuple[str, ...]:
    told = _told(status)
    return status.agent, told, f"{told}{AT}{whose(status)[0]}"


def _has_instance(status: Status, name: str) -> bool:
    """Anybody may call his agent and his instance as he likes, but not his account."""
    instance, _, account = name.rpartition(AT)
    if instance and account == whose(status)[0]:
        return status.instance.startswith(instance)
    return _INSTANCE.fullmatch(name) is not None and status.instance.startswith(name)
