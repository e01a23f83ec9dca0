"""Requests without a build, as Buildbot's database has them, and as it does not say."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import defer

from master_bridge.buildbot.internals.agent_builds import PENDING_ANYWAY, PENDING_FRESH, PendingRequests

WHEN = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Master:
    """With `builders` by their ids, and `requests` that wait for the first."""

    def __init__(self) -> None:
        self.data = self.mq = self
        self.requests: list[int] = []
        self.builders = {"gtk": 1}
        self.botmaster = self
        #: what its database fails to say
        self.broken: set[str] = set()
        self.asked = 0
        self.note: Any = None

    def startConsuming(self, callback: Any, _filter: Any) -> Any:
        self.note = callback
        return defer.succeed(SimpleNamespace(stopConsuming=lambda: None))

    def get(self, path: tuple[str, ...], **_: Any) -> Any:
        self.asked += 1
        if path[0] in self.broken:
            return defer.fail(RuntimeError("the database is away"))
        if path == ("builders",):
            return defer.succeed([{"builderid": number, "name": name} for name, number in self.builders.items()])
        rows = [{"buildrequestid": n, "builderid": 1, "submitted_at": WHEN, "priority": 0} for n in self.requests]
        return defer.succeed(rows)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: seconds[0], time=lambda: seconds[0])
    monkeypatch.setattr("master_bridge.buildbot.internals.agent_builds.time", clock)
    return seconds


def look(pending: PendingRequests) -> Any:
    got: list[Any] = []
    pending.look().addBoth(got.append)
    return got[0]


def requests(found: Any) -> list[tuple[str, str]]:
    return [(request, builder) for request, builder, *_ in found.requests]


def test_they_are_looked_up_when_one_has_changed_and_now_and_then(clock: list[float]) -> None:
    master = Master()
    pending = PendingRequests(lambda: master)
    pending.start()
    master.requests = [7]
    assert requests(look(pending)) == [("br-7", "gtk")]
    asked = master.asked
    clock[0] += PENDING_FRESH + 1
    look(pending)
    assert master.asked == asked, "nothing has changed"
    master.requests = [7, 8]
    master.note(None, None)
    assert requests(look(pending)) == [("br-7", "gtk"), ("br-8", "gtk")]
    master.requests = []
    clock[0] += PENDING_ANYWAY + 1
    assert requests(look(pending)) == []


@pytest.mark.parametrize("what", ["buildrequests", "builders"])
def test_a_look_that_fails_is_made_again_soon(clock: list[float], what: str) -> None:
    """Not after a minute: what had changed is not known yet."""
    master = Master()
    pending = PendingRequests(lambda: master)
    pending.start()
    look(pending)
    clock[0] += PENDING_FRESH + 1
    master.requests, master.broken = [7], {what}
    pending._names.clear()
    master.note(None, None)
    assert look(pending).type is RuntimeError
    assert requests(look(pending)) == [], "but not at once"
    clock[0] += PENDING_FRESH
    master.broken.clear()
    assert requests(look(pending)) == [("br-7", "gtk")]


def test_a_builder_that_a_reconfig_adds_is_known_though_its_requests_never_wait(clock: list[float]) -> None:
    """Else the page has no link to its builds."""
    master = Master()
    pending = PendingRequests(lambda: master)
    pending.start()
    assert look(pending).builders == {"gtk": 1}
    master.builders = {"qt": 2, "gtk": 1}
    master.note(None, None)
    clock[0] += PENDING_FRESH
    assert look(pending).builders == {"gtk": 1, "qt": 2}
    asked = master.asked
    master.note(None, None)
    clock[0] += PENDING_FRESH
    look(pending)
    assert master.asked == asked + 1, "its requests, and not the builders, which are known"
