"""Log lines of both sides' programs: made of whatever comes, so that a call of a logger never raises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from contracts.readable import shown, shown_lines

#: Characters of one value in a log line.
VALUE_MAX = 10_000


def whatever_comes(processors: Iterable[Any]) -> Any:
    """One structlog processor that does what `processors` do. An event that they cannot render becomes a plain line."""
    chain = tuple(processors)

    def render(logger: Any, name: str, event: Any) -> Any:
        given = dict(event)
        try:
            for processor in chain:
                event = processor(logger, name, event)
        except Exception as error:
            return f"{_shown(given)} (its log line cannot be rendered: {type(error).__name__})"
        return event

    return render


def without_orders(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: no text of an event is an order to a terminal, or looks like another line.

    Tracebacks keep their lines. What is no text is shown by the renderers' `repr`, which escapes such characters.
    """
    for key, value in list(event.items()):
        if isinstance(value, str):
            event[key] = shown_lines(value) if key in ("exception", "stack") else shown(value, VALUE_MAX)
    return event


def _shown(event: Mapping[str, Any]) -> str:
    """As much of it as can be shown: a value may be what cannot be."""
    parts = [str(event.get("event", "")) if isinstance(event.get("event"), str) else "event"]
    for key, value in event.items():
        if key != "event" and isinstance(value, (str, int, float, bool)):
            parts.append(f"{key}={value!r}")
    return " ".join(parts)
