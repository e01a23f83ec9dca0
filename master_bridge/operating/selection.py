"""Which agents an operator means: by name, by the beginning of the instance, or by what they offer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from contracts.errors import BadRequirement
from contracts.messages import Status
from contracts.requirements import Requirements
from master_bridge.operating.errors import OperatingError
from master_bridge.operating.survey import Whose, whose

#: Shortest beginning of an instance that names it.
PREFIX_MIN = 4


def select(agents: Iterable[Status], names: Sequence[str], match: Sequence[str]) -> list[Status]:
    """Those that are named and those that satisfy all of `match`, each once. A name may say the account: NAME@ACCOUNT.

    Raises `OperatingError` for a name that nobody has, and when neither is given.
    """
    alive = list(agents)
    if not names and not match:
        raise OperatingError("name agents, or choose them with --match REQUIREMENT (--match any: all)")
    chosen: dict[Whose, Status] = {}
    for name in names:
        found = [status for status in alive if _is_named(status, name)]
        if not found:
            known = ", ".join(sorted({status.agent for status in alive})) or "none"
            raise OperatingError(f"no agent {name!r} is alive; alive: {known}")
        if len({whose(status) for status in found}) > 1:
            which = ", ".join(f"{status.instance}@{whose(status)[0]}" for status in found)
            raise OperatingError(f"{len(found)} agents are named {name!r}: name one by its instance ({which})")
        chosen[whose(found[0])] = found[0]
    if match:
        try:
            requirements = Requirements.of([] if list(match) == ["any"] else match)
        except BadRequirement as error:
            raise OperatingError(f"--match: {error}") from None
        chosen |= {whose(status): status for status in alive if requirements.satisfied_by(status.capabilities)}
    return list(chosen.values())


def _is_named(status: Status, name: str) -> bool:
    """Anybody may call his agent as he likes, but not his account."""
    wanted, _, account = name.rpartition("@")
    if wanted and account == whose(status)[0] and _is_named(status, wanted):
        return True
    return status.agent == name or (len(name) >= PREFIX_MIN and status.instance.startswith(name))
