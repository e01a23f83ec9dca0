"""How long units took in past runs, and how fast agents were, kept in Buildbot's database for each builder and step.

Weighted means: a run of some units, or on some agents, changes those only. Spread over several values of Buildbot's
table of states, since a database may hold no more than 64 KiB in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from zlib import crc32

from twisted.internet import defer

#: Of the newest run in the mean.
NEWEST = 0.3
#: Values over which units are spread, and bytes of names in one of them: together some 20,000 units of 150 bytes.
BUCKETS = 64
BUCKET_BYTES = 48 * 1024
_SPEEDS = "speeds"
_CLASS = "master_bridge.buildbot.battery.Timings"


class Timings:
    """Of one builder's step. `owner`: "builder/step"."""

    def __init__(self, master: Any, owner: str) -> None:
        self._state = master.db.state
        self._owner = owner

    @defer.inlineCallbacks
    def of(self, units: Iterable[str]) -> Any:
        """Seconds by unit, of those that are known."""
        object_id = yield self._state.getObjectId(self._owner, _CLASS)
        found: dict[str, float] = {}
        for number, members in _buckets(units).items():
            known = yield self._state.getState(object_id, _name(number), {})
            found.update({unit: known[unit][0] for unit in members if unit in known})
        return found

    @defer.inlineCallbacks
    def speeds(self) -> Any:
        """By agent, of those that are known; only their ratios mean something."""
        object_id = yield self._state.getObjectId(self._owner, _CLASS)
        known = yield self._state.getState(object_id, _SPEEDS, {})
        return {agent: item[0] for agent, item in known.items()}

    @defer.inlineCallbacks
    def learn(self, measured: Mapping[str, float], speeds: Mapping[str, float], now: float) -> Any:
        """Of a run: seconds by unit and speeds by agent (`BatteryMachine.learned`); `now`: seconds since the epoch."""
        object_id = yield self._state.getObjectId(self._owner, _CLASS)
        for number, members in _buckets(measured).items():
            yield self._renew(object_id, _name(number), {unit: measured[unit] for unit in members}, now)
        if speeds:
            yield self._renew(object_id, _SPEEDS, speeds, now)

    @defer.inlineCallbacks
    def _renew(self, object_id: int, name: str, measured: Mapping[str, float], now: float) -> Any:
        known = yield self._state.getState(object_id, name, {})
        yield self._state.setState(object_id, name, renewed(known, measured, now))


def renewed(known: Mapping[str, Any], measured: Mapping[str, float], now: float) -> dict[str, list[float]]:
    """A value with these runs in it: [mean, when it ran last]. What ran longest ago goes where room lacks."""
    bucket = {unit: list(item) for unit, item in known.items()}
    for unit, seconds in measured.items():
        mean = bucket[unit][0] * (1 - NEWEST) + seconds * NEWEST if unit in bucket else seconds
        bucket[unit] = [round(mean, 3), int(now)]
    room = BUCKET_BYTES
    kept = {}
    for unit, item in sorted(bucket.items(), key=lambda pair: -pair[1][1]):
        room -= len(unit.encode()) + 40
        if room >= 0:
            kept[unit] = item
    return kept


def _buckets(units: Iterable[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for unit in units:
        found.setdefault(crc32(unit.encode()) % BUCKETS, []).append(unit)
    return found


def _name(number: int) -> str:
    return f"timings-{number}"
