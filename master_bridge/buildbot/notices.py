"""Keeps a waiting build's or step's text current, and warns when no agent qualifies for too long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from twisted.internet import defer

from contracts.requirements import Requirements
from master_bridge.buildbot.fleet import FleetView
from master_bridge.buildbot.waiting import waiting_text

log = structlog.get_logger(__name__)


class WaitingNotice:
    """`say(text)` stores a text (a Deferred); it is called for a changed text only, never twice at a time."""

    def __init__(self, broker: Any, say: Callable[[str], defer.Deferred[Any]]) -> None:
        self._broker = broker
        self._say = say
        self._said: str | None = None
        self._busy = False

    def refresh(self, requirements: Requirements, *, since: float, state: str) -> None:
        outlook = self._broker.fleet.outlook(requirements, time.monotonic())
        text = waiting_text(
            needs=requirements.signature, since=since, outlook=outlook, state=state, down=self._broker.down_reason
        )
        if text != self._said and not self._busy:
            self._busy, self._said = True, text
            self._say(text).addErrback(self._failed).addBoth(self._done)

    def _failed(self, failure: Any) -> None:
        log.warning("amqp.waiting_text_lost", reason=failure.getErrorMessage())

    def _done(self, _result: Any) -> None:
        self._busy = False


class NoAgentNotices:
    """One warning for each signature that nobody qualifies for, until somebody does."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def look(self, workers: Iterable[Any], fleet: FleetView, down: str | None) -> None:
        """`workers`: all of the master's; those of other kinds are passed over. `down`: nothing is known then."""
        if down is not None:
            return
        waiting: set[str] = set()
        for worker in workers:
            due = worker.notice_due() if hasattr(worker, "notice_due") else None
            if due is None:
                continue
            waiting.add(worker.signature)
            if worker.signature in self._warned or time.time() < due:
                continue
            outlook = fleet.outlook(Requirements.from_signature(worker.signature), time.monotonic())
            if outlook.qualified:
                continue
            self._warned.add(worker.signature)
            nearest = f"; nearest: {'; '.join(outlook.misses)}" if outlook.misses else ""
            worker.send_notice(f"no agent offers {worker.signature} ({outlook.agents} alive){nearest}")
        self._warned &= waiting
