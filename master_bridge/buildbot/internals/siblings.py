"""A service that is configured back to what it was when it was made.

`BuildbotService.reconfigServiceWithSibling` compares the new configuration with the one that the service was made with,
not with the last: from A to B and back to A leaves B. Source: util/service.py.
"""

from __future__ import annotations

from typing import Any


def adopt(service: Any, sibling: Any) -> None:
    """`service` was configured as `sibling` is: that is what the next one is compared with."""
    service._config_args, service._config_kwargs = sibling._config_args, sibling._config_kwargs
