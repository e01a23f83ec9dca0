"""All cases by name, in the order in which they are played."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.measures import (
    battery,
    claims,
    database,
    dispatch,
    failover,
    fanout,
    footprint,
    log,
    many,
    page,
    soak,
    start,
    steps,
    thousands,
    transfers,
    wide,
)
from benchmarks.stand.stage import Stage

CASES: dict[str, Callable[[Stage], None]] = {
    "steps": steps.run,
    "database": database.run,
    "log": log.run,
    "transfers": transfers.run,
    "dispatch": dispatch.run,
    "many": many.run,
    "fanout": fanout.run,
    "failover": failover.run,
    "wide": wide.run,
    "footprint": footprint.run,
    "start": start.run,
    "claims": claims.run,
    "scale": claims.scale,
    "thousands": thousands.run,
    "page": page.run,
    "battery": battery.run,
    "soak": soak.run,
}
#: Played only when they are named: they take from ten minutes to an hour.
ON_REQUEST = frozenset({"battery", "scale", "soak"})
#: Not of a quick run, unless they are named: no input makes them small.
NOT_QUICK = ON_REQUEST | {"claims", "page", "thousands"}
