"""Carries the machine's actions out, in the order in which it gave them.

Nothing here waits: what takes time has a queue of its own (a session's keeper, the offer channels, the publishing
channel). The one order that goes across them is kept with a gate: what the machine wants after `CloseSession`, it wants
after the last process is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Union

import structlog

from contracts.errors import BadSeal, ContractError
from contracts.machines.exhaustive import assert_never
from worker_agent.agent.forever import Errors
from worker_agent.core import actions as do
from worker_agent.keepers.client import Keeper
from worker_agent.keepers.sessions import Sessions
from worker_agent.link.link import Link
from worker_agent.link.seals import Seals

log = structlog.get_logger(__name__)


class Hands:
    """What the agent does. `check` is to check the machine before a claim, `left` is told that the machine exits."""

    def __init__(
        self,
        link: Link,
        sessions: Sessions,
        errors: Errors,
        *,
        seals: Seals,
        check: Callable[[do.CheckMachine], None],
        left: Callable[[], None],
    ) -> None:
        self._errors = errors
        self._seals = seals
        self._link = link
        self._sessions = sessions
        self._check = check
        self._left = left

    def carry_out(self, actions: Iterable[do.Action]) -> None:
        """All of them, in order; what must wait for a disk goes on behind this call."""
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
            self._publish(action, gate)
        elif isinstance(action, (do.Agree, do.ForgetSeal)):
            self._about_seals(action)
        elif isinstance(action, do.CheckMachine):
            self._check(action)
        elif isinstance(action, do.Exit):
            self._left()
        elif isinstance(action, _ABOUT_OFFERS):
            self._about_offers(action)
        elif isinstance(action, _FOR_KEEPERS):
            self._sessions.order(action.session, _order(action))
        elif isinstance(action, do.Persist):
            self._persist(action)
        elif isinstance(action, do.OpenSession):
            self._sessions.open(action)
        elif isinstance(action, do.Reject):
            log.error("message_sender_not_verified", type=action.message.t, reason=action.reason)
            self._link.reject(action.message, action.reason)
        else:
            _say(action)
        return None

    def _publish(self, order: do.Publish, gate: asyncio.Task[None] | None) -> None:
        """What cannot be sealed and must be is not said: it is said again after the next grant."""
        try:
            message = self._seals.outgoing(order, self._link.version_with(order.master))
        except ContractError as error:
            log.error("seal_missing_or_invalid", type=order.message.t, reason=str(error))  # type: ignore[attr-defined]  # all have it
        else:
            self._link.publish(order if message is order.message else replace(order, message=message), after=gate)

    def _about_seals(self, action: do.Agree | do.ForgetSeal) -> None:
        if isinstance(action, do.ForgetSeal):
            self._seals.forget(action.session)
            return
        try:
            self._seals.agree(action)
        except BadSeal as error:
            log.error("session_key_rejected", session=action.grant.session, reason=str(error))

    def _about_offers(self, action: AboutOffers) -> None:
        if isinstance(action, do.Ack):
            self._link.settle(action.delivery, "ack")
        elif isinstance(action, do.Park):
            self._link.settle(action.delivery, "park")
        elif isinstance(action, do.GiveBack):
            self._link.settle(action.delivery, "give_back")
        elif isinstance(action, do.SendToDead):
            self._link.send_to_dead(action.delivery, action.reason)
        elif isinstance(action, do.Consume):
            self._link.consume(action.queues)
        elif isinstance(action, do.CancelConsumers):
            self._link.cancel_consumers()
        else:
            assert_never(action)

    def _persist(self, action: do.Persist) -> None:
        try:
            self._sessions.persist(action.meta)
        except OSError as error:
            log.error("session_not_written", session=action.meta.session, reason=str(error),
                      effect="a restart of this agent would lose it")  # fmt: skip


AboutOffers = Union[do.Ack, do.Park, do.GiveBack, do.SendToDead, do.Consume, do.CancelConsumers]
_ABOUT_OFFERS = (do.Ack, do.Park, do.GiveBack, do.SendToDead, do.Consume, do.CancelConsumers)
ForKeepers = Union[do.RunCommand, do.CompleteUnstarted, do.InterruptCommand, do.FeedData, do.TrimJournal, do.Contact]
_FOR_KEEPERS = (do.RunCommand, do.CompleteUnstarted, do.InterruptCommand, do.FeedData, do.TrimJournal, do.Contact)


def _order(action: ForKeepers) -> Callable[[Keeper], None]:
    """What the session's keeper is to do."""
    if isinstance(action, do.RunCommand):
        return partial(Keeper.run, command=action.command)
    if isinstance(action, do.CompleteUnstarted):
        return partial(Keeper.complete_unstarted, command=action.command, reason=action.reason)
    if isinstance(action, do.InterruptCommand):
        return partial(Keeper.interrupt, n=action.n, reason=action.reason)
    if isinstance(action, do.FeedData):
        return partial(Keeper.feed, n=action.n, offset=action.offset, size=action.size, data=action.data)
    if isinstance(action, do.TrimJournal):
        return partial(Keeper.trim, seq=action.seq)
    if isinstance(action, do.Contact):
        return Keeper.contact
    return assert_never(action)


def _say(action: do.MasterSilent | do.Report | do.Alarm) -> None:
    """For the log only."""
    if isinstance(action, do.MasterSilent):
        log.info("master_silent" if action.silent else "master_back", master=action.master)
    elif isinstance(action, do.Report):
        report(action)
    elif isinstance(action, do.Alarm):
        log.error(action.event, detail=action.detail, session=action.session)
    else:
        assert_never(action)


def report(action: do.Report) -> None:
    """One line of the log: the event, for whom, and what there is to say; what is not known is left out."""
    offer = action.offer
    whose: dict[str, object] = {"builder": offer.builder or offer.title, "build_number": offer.build_number or None}
    event: str = action.event
    if offer.direct:  # the account is verified, what else it says of itself is not
        whose = {"title": offer.title, "account": offer.user}
        event = _OF_OPERATORS.get(event, event)
    fields = {**whose, **action.fields, "master": offer.master, "session": action.session}
    said = {name: value for name, value in fields.items() if value not in (None, "")}
    log.info(event, **said)


#: An operator's session is no build.
_OF_OPERATORS = {"build": "operator_began", "build_ended": "operator_ended"}
