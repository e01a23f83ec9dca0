"""Keeps a waiting build's or step's text current, and warns when no agent qualifies for too long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from twisted.internet import defer

from contracts.messages import ExpectedStart
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.fleet.view import FleetView
from master_bridge.buildbot.search.waiting import Fallback, waiting_text

log = structlog.get_logger(__name__)


class WaitingNotice:
    """`say(text)` stores a text (a Deferred); it is called for a changed text only, never twice at a time."""

    def __init__(self, broker: Any, say: Callable[[str], defer.Deferred[Any]]) -> None:
        self._broker = broker
        self._say = say
        self._said: str | None = None
        self._busy = False

    def refresh(
        self,
        requirements: Requirements,
        *,
        since: float,
        state: str,
        later: Fallback | None = None,
        expected: ExpectedStart | None = None,
    ) -> None:
        """`later`: what will do when nobody has come whom it prefers; `expected`: when it will have an agent."""
        text = waiting_text(
            needs=requirements.signature,
            since=since,
            outlook=self._broker.fleet.outlook(requirements, time.monotonic()),
            state=state,
            down=self._broker.down_reason,
            later=later,
            expected=expected,
        )
        if text != self._said and not self._busy:
            self._busy, self._said = True, text
            self._say(text).addErrback(self._failed).addBoth(self._done)

    def _failed(self, failure: Any) -> None:
        log.warning("amqp.waiting_text_not_shown", reason=failure.getErrorMessage())

    def _done(self, _result: Any) -> None:
        self._busy = False


class NoAgentNotices:
    """One warning for each signature that nobody qualifies for, until somebody does."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def look(self, waiters: Iterable[Any], fleet: FleetView, down: str | None) -> None:
        """`waiters`: the master's workers and steps' commands; those of other kinds are passed over. `down`: why the
        broker is out of reach, and so nothing known."""
        if down is not None:
            return
        waiting: set[str] = set()
        for waiter in waiters:
            due = waiter.notice_due() if hasattr(waiter, "notice_due") else None
            if due is None:
                continue
            waiting.add(waiter.signature)
            if waiter.signature in self._warned or time.time() < due:
                continue
            outlook = fleet.outlook(Requirements.from_signature(waiter.signature), time.monotonic())
            if outlook.qualified:
                continue
            self._warned.add(waiter.signature)
            nearest = f"; nearest: {'; '.join(outlook.misses)}" if outlook.misses else ""
            text = f"no agent offers {waiter.signature} ({outlook.agents} alive){nearest}"
            if outlook.unfit:
                text = f"no agent that offers {waiter.signature} takes work: {outlook.unfit_text}"
            waiter.send_notice(text)
        self._warned &= waiting
