"""Carries the machine's actions out, in the order in which it gave them.

Nothing here waits: what takes time has a queue of its own (a session's keeper, the offer channels, the publishing
channel). The one order that goes across them is kept with a gate: what the machine wants after `CloseSession`, it wants
after the last process is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

import structlog

from worker_agent.agent.forever import Errors
from worker_agent.core import actions as do
from worker_agent.keepers.client import Keeper
from worker_agent.keepers.sessions import Sessions
from worker_agent.link.link import Link

log = structlog.get_logger(__name__)


class Hands:
    """What the agent does. `left` is set when the machine said `Exit`."""

    def __init__(self, link: Link, sessions: Sessions, errors: Errors) -> None:
        self._errors = errors
        self._link = link
        self._sessions = sessions
        self.left = False

    def carry_out(self, actions: Iterable[do.Action]) -> None:
        gate: asyncio.Task[None] | None = None
        for action in actions:
            with self._errors.said(type(action).__name__):  # one that fails must not take the others along
                gate = self._carry_out(action, gate) or gate

    def _carry_out(self, action: do.Action, gate: asyncio.Task[None] | None) -> asyncio.Task[None] | None:
        """Returns what later publications are to wait for."""
        if isinstance(action, do.CloseSession):
            closing = self._sessions.close(action.session, keep_journal=action.keep_journal)
            if closing is not None:
                self._link.hold_until(closing)
            return closing
        if isinstance(action, do.Publish):
            self._link.publish(action, after=gate)
        elif isinstance(action, do.Reject):
            log.error("not_believed", type=action.message.t, reason=action.reason)
            self._link.reject(action.message, action.reason)
        elif isinstance(action, do.Exit):
            self.left = True
        elif not self._about_offers(action) and not self._about_session(action):
            self._say(action)
        return None

    def _about_offers(self, action: do.Action) -> bool:
        if isinstance(action, do.Ack):
            self._link.settle(action.delivery, "ack")
        elif isinstance(action, do.Park):
            self._link.settle(action.delivery, "park")
        elif isinstance(action, do.GiveBack):
            self._link.settle(action.delivery, "give_back")
        elif isinstance(action, do.Bury):
            self._link.bury(action.delivery, action.reason)
        elif isinstance(action, do.Consume):
            self._link.consume(action.queues)
        elif isinstance(action, do.CancelConsumers):
            self._link.cancel_consumers()
        else:
            return False
        return True

    def _about_session(self, action: do.Action) -> bool:
        sessions = self._sessions
        if isinstance(action, do.Persist):
            try:
                sessions.persist(action.meta)
            except OSError as error:
                log.error("session_not_written", session=action.meta.session, reason=str(error),
                          effect="a restart of this agent would lose it")  # fmt: skip
        elif isinstance(action, do.OpenSession):
            sessions.open(action)
        elif isinstance(action, do.RunCommand):
            command = action.command
            sessions.order(action.session, partial(Keeper.run, command=command))
        elif isinstance(action, do.CompleteUnstarted):
            sessions.order(
                action.session, partial(Keeper.complete_unstarted, command=action.command, reason=action.reason)
            )
        elif isinstance(action, do.InterruptCommand):
            sessions.order(action.session, partial(Keeper.interrupt, n=action.n, reason=action.reason))
        elif isinstance(action, do.FeedData):
            sessions.order(
                action.session,
                partial(Keeper.feed, n=action.n, offset=action.offset, size=action.size, data=action.data),
            )
        elif isinstance(action, do.TrimJournal):
            sessions.order(action.session, partial(Keeper.trim, seq=action.seq))
        elif isinstance(action, do.Contact):
            sessions.order(action.session, Keeper.contact)
        else:
            return False
        return True

    @staticmethod
    def _say(action: do.Action) -> None:
        if isinstance(action, do.MasterSilent):
            log.info("master_silent" if action.silent else "master_heard", master=action.master)
        elif isinstance(action, do.Report):
            report(action)
        elif isinstance(action, do.Alarm):
            log.error(action.event, detail=action.detail, session=action.session)
        else:
            raise TypeError(f"nobody carries out {type(action).__name__}")


def report(action: do.Report) -> None:
    """One line of the log: the event, for whom, and what there is to say; what is not known is left out."""
    offer = action.offer
    whose = {"builder": offer.builder or offer.title, "build_number": offer.build_number or None}
    fields = {**whose, **action.fields, "master": offer.master, "session": action.session}
    said = {name: value for name, value in fields.items() if value not in (None, "")}
    log.info(action.event, **said)
