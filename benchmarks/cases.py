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
    "start": start.run,
    "wide": wide.run,
    "footprint": footprint.run,  # after `wide` all workers have been idle for as long as it wants
    "claims": claims.run,
    "scale": claims.scale,
    "thousands": thousands.run,
    "page": page.run,
    "battery": battery.run,
    "soak": soak.run,
}
#: Seconds that each took on a quiet machine with 2 cores: with full inputs, with --quick.
SECONDS: dict[str, tuple[float, float]] = {
    "steps": (100, 28),
    "database": (20, 7),
    "log": (155, 39),
    "transfers": (170, 20),
    "dispatch": (45, 9),
    "many": (105, 25),
    "fanout": (245, 15),
    "failover": (100, 42),
    "start": (100, 12),
    "wide": (75, 8),
    "footprint": (60, 12),
    "claims": (65, 30),
    "scale": (1800, 120),
    "thousands": (70, 55),
    "page": (120, 120),
    "battery": (580, 120),
    "soak": (2250, 2250),
}
#: Played only when they are named: they take from ten minutes to an hour.
ON_REQUEST = frozenset({"battery", "scale", "soak"})
#: Not of a quick run, unless they are named: no input makes them small.
NOT_QUICK = ON_REQUEST | {"claims", "page", "thousands"}
#: What differs with agents as README starts them (`--as-documented`). The other cases have agents so already (start),
#: or their own simulated ones, or count what the master does whatever its agents are like.
DOCUMENTED = frozenset({"steps", "log", "transfers", "dispatch", "many", "fanout", "failover", "footprint", "claims"})
