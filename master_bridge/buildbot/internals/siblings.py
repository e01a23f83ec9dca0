"""What a service is configured as, and whether a reconfig says anything else.

`BuildbotService.reconfigServiceWithSibling` compares the new configuration with the one that the service was made with,
not with the last: from A to B and back to A leaves B. Source: util/service.py.
"""

from __future__ import annotations

import operator
from collections.abc import Hashable
from functools import cache
from typing import Any

from twisted.python.reflect import accumulateClassList


def alike(service: Any, sibling: Any) -> bool:
    """Does `sibling` say what `service` was configured as last? As Buildbot compares them, but each class is asked for
    its attributes once, not a thousand times in each reconfig."""
    if not service.configured or type(service) is not type(sibling):
        return False
    values = _compared(service.__class__)
    try:
        return bool(values(service) == values(sibling))
    except AttributeError:  # a class may name what only one that is configured has
        return bool(service.isEquivalent(sibling, service))


@cache  # of classes of workers
def _compared(kind: Hashable) -> operator.attrgetter[Any]:
    names: list[str] = []
    accumulateClassList(kind, "compare_attrs", names)
    return operator.attrgetter(*names)


def adopt(service: Any, sibling: Any) -> None:
    """`service` was configured as `sibling` is: that is what the next one is compared with."""
    service._config_args, service._config_kwargs = sibling._config_args, sibling._config_kwargs
