"""Log lines of whatever comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import structlog

from contracts.operations.log_rendering import whatever_comes


class _Hostile:
    def __repr__(self) -> str:
        raise OSError("no text of mine")

    __str__ = __repr__


RENDERERS: dict[str, Callable[[], list[Any]]] = {
    "json": lambda: [structlog.processors.JSONRenderer()],
    "console": lambda: [structlog.dev.ConsoleRenderer(colors=False)],
    "logfmt": lambda: [structlog.processors.LogfmtRenderer()],
}


@pytest.mark.parametrize("form", RENDERERS)
@pytest.mark.parametrize(
    "fields",
    [
        {"value": _Hostile()}, {"a key with spaces": 1}, {"value": "caf\udce9"}, {"value": b"\xff"},
        {"value": {1: _Hostile()}},
    ],
    ids=["no text", "odd key", "no UTF-8", "bytes", "no text within"],
)  # fmt: skip
def test_a_call_of_a_logger_never_raises(form: str, fields: dict[str, Any]) -> None:
    """An event that cannot be rendered is a plain line with its name and what can be shown."""
    lines: list[str] = []

    class Sink:
        def msg(self, text: str) -> None:
            lines.append(text)

        info = msg

    logger = structlog.wrap_logger(Sink(), processors=[whatever_comes(RENDERERS[form]())])
    logger.info("happened", number=5, **fields)
    assert len(lines) == 1
    assert "happened" in lines[0]
    assert "5" in lines[0]
