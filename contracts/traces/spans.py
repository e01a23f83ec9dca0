"""A span, its place in a trace, and how that place travels: W3C Trace Context, field `traceparent`. Pure.

Ids are derived, not random: whoever derives one of the same names gets the same. So a master that was restarted goes on
with the trace, and with the span of a session, that it began before.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from contracts.message_parts import TRACEPARENT

Value = str | int | float | bool
#: Whether work is handed over by the span: to a queue, or out of one (OpenTelemetry, "Messaging spans").
Kind = Literal["internal", "producer", "consumer"]

_PARTS = re.compile(TRACEPARENT)


@dataclass(frozen=True, kw_only=True)
class TraceContext:
    """A span's ids: the trace's 16 bytes and its own 8, never 0. Not `sampled`: nobody wants to know of it."""

    trace: int
    span: int
    sampled: bool = True

    @classmethod
    def of(cls, traceparent: str | None) -> TraceContext | None:
        """None: there is none, or none that W3C's recommendation calls valid."""
        found = _PARTS.fullmatch(traceparent or "")
        if found is None:
            return None
        trace, span, flags = (int(part, 16) for part in found.groups())
        return cls(trace=trace, span=span, sampled=bool(flags & 1)) if trace and span else None

    @property
    def traceparent(self) -> str:
        """Version 00 of https://www.w3.org/TR/trace-context/#traceparent-header."""
        return f"00-{self.trace:032x}-{self.span:016x}-{self.sampled:02x}"

    def named(self, *names: object) -> TraceContext:
        """The span below this one with these names; others have another one."""
        text = "\n".join([f"{self.trace:032x}{self.span:016x}", *map(str, names)])
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        return TraceContext(trace=self.trace, span=int.from_bytes(digest[:8], "big") or 1, sampled=self.sampled)


@dataclass(frozen=True, kw_only=True)
class Span:
    """One that has ended. Times are seconds since the epoch."""

    name: str
    context: TraceContext
    #: None: of the trace's first span
    parent: TraceContext | None
    start: float
    end: float
    kind: Kind = "internal"
    attributes: Mapping[str, Value] = field(default_factory=dict)
    #: what happened in it, and when
    events: tuple[tuple[str, float], ...] = ()
    #: what went wrong, for people; None: nothing
    failure: str | None = None


def known(**attributes: Value | None) -> dict[str, Value]:
    """Those that are known: neither None nor empty. A `__` of a name is a point in the attribute's."""
    return {name.replace("__", "."): value for name, value in attributes.items() if value is not None and value != ""}
