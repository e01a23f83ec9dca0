"""Bridges that break one rule each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from contracts.messages import Accept, Event, Grant, Offer, Refuse, Resume, Start
from contracts.trust.tickets import Proof
from master_bridge.core import actions as bridge_actions
from master_bridge.core import inputs as bridge_inputs
from master_bridge.core.machine import BridgeMachine
from master_bridge.core.placing import commands_of


def _drop(kind: type, actions: Iterable[Any]) -> list[Any]:
    return [action for action in actions if not isinstance(action, kind)]


class GrantsTwice(BridgeMachine):
    """A claim for what another session holds is granted."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return [self._grant(action) for action in super().handle(input, now)]

    def _grant(self, action: bridge_actions.Action) -> bridge_actions.Action:
        message = action.message if isinstance(action, bridge_actions.Send) else None
        if not isinstance(message, Refuse) or message.re != "claim":
            return action
        grant = Grant(
            session=message.session,
            master=message.master,
            incarnation=self._context.config.incarnation,
            run=1,
            stored=0,
            ticket="planted",
        )
        return bridge_actions.Send(message=grant, address=action.address)  # type: ignore[union-attr]  # a Send


class DeliversAgain(BridgeMachine):
    """What comes a second time goes to Buildbot a second time."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        actions = super().handle(input, now)
        message = input.message if isinstance(input, bridge_inputs.MessageReceived) else None
        if isinstance(message, Event) and not any(isinstance(a, bridge_actions.Deliver) for a in actions):
            for view in self.requests():
                if view.session == message.session and view.state == "held" and message.seq <= view.delivered:
                    actions.append(bridge_actions.Deliver(request=view.request, event=message))
        return actions


class SkipsGaps(BridgeMachine):
    """Without a replay: what comes after a gap is taken as it comes."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        message = input.message if isinstance(input, bridge_inputs.MessageReceived) else None
        if isinstance(message, Event):
            work = self._placing.holders.get(message.session)
            if work is not None and work.session is not None and work.attached:
                work.session.order.delivered = max(work.session.order.delivered, message.seq - 1)
        return super().handle(input, now)


class SwallowsLosses(BridgeMachine):
    """Buildbot is not told that a session is lost."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return _drop(bridge_actions.Lost, super().handle(input, now))


class AbandonsAtOnce(BridgeMachine):
    """The first lost session is the last."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return [
            bridge_actions.Abandoned(request=action.request, reason=action.reason)
            if isinstance(action, bridge_actions.Lost)
            else action
            for action in super().handle(input, now)
        ]


class ForgetsFencing(BridgeMachine):
    """Strict fencing: gives up before the agent has killed what runs."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._presence._grace = lambda work: 0.0  # type: ignore[method-assign]


class CallsNoRoll(BridgeMachine):
    """Sessions of an earlier incarnation are refused."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        if isinstance(input, bridge_inputs.MessageReceived) and isinstance(input.message, Resume):
            resume = input.message
            if not any(view.session == resume.session for view in self.requests()):
                refuse = Refuse(session=resume.session, master=resume.master, re="resume", reason="who are you?")
                ack = bridge_actions.Ack(delivery=input.delivery)
                return [bridge_actions.Send(message=refuse, address=resume.address), ack]
        return super().handle(input, now)


class NeverAsks(BridgeMachine):
    """Rule 16 left out: no offer is marked `ask`."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return [
            replace(action, offer=action.offer.model_copy(update={"ask": False}))
            if isinstance(action, bridge_actions.PublishOffer)
            else action
            for action in super().handle(input, now)
        ]


class KeepsClaims(BridgeMachine):
    """What the roll needed (rule 11) is not acknowledged when its session is over."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        actions = super().handle(input, now)
        return _drop(bridge_actions.Ack, actions) if isinstance(input, bridge_inputs.Done) else actions


class NeverSweeps(BridgeMachine):
    """Offers of requests that are over stay in their queue until an agent comes."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return _drop(bridge_actions.SweepOffers, super().handle(input, now))


class SweepsItsOwnOnly(BridgeMachine):
    """What an earlier incarnation left is not looked for."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return super().handle(bridge_inputs.Tick() if isinstance(input, bridge_inputs.Declared) else input, now)


class SweepsWhatWaits(BridgeMachine):
    """Sweeps each time a request begins to wait, and takes all for stale; offers none a second time."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._due["reoffer"] = lambda _: None

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        actions = super().handle(input, now)
        offers = [action.offer for action in actions if isinstance(action, bridge_actions.PublishOffer)]
        return [*actions, *(bridge_actions.SweepOffers(signature=offer.signature) for offer in offers)]

    def is_stale(self, offer: Offer) -> bool:
        return True


class OffersOnce(BridgeMachine):
    """What waits is not offered again, however long it waits."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._due["reoffer"] = lambda _: None


class BelievesCopies(BridgeMachine):
    """Rule 2 left out: a `gone` is believed wherever it comes from."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._presence.gone_elsewhere = (  # type: ignore[method-assign]
            lambda session_id, work, session, gone: self._holding.gone(work, session, gone)
        )


class BelievesAnybody(BridgeMachine):
    """Forged messages are not rejected."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._messages._objection = lambda message, user: None  # type: ignore[method-assign]


class ForgetsTickets(BridgeMachine):
    """Rule 21 left out: whoever says that he has a session is believed."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        asks = self._messages._proof
        self._messages._proof = lambda message, user: (  # type: ignore[method-assign]
            Proof(kind="grant", run=message.run, made=0) if isinstance(message, Resume) else asks(message, user)
        )


class CountsSilenceOfFenced(BridgeMachine):
    """A silent agent's silence counts as grace under strict fencing, too."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._presence._silent_since = lambda work, session: (  # type: ignore[method-assign]
            (session.silent_from or 15.0) - 45.0
        )


class KeepsWaitedFor(BridgeMachine):
    """What the master's stop has ended is kept by its agent: nobody releases, refuses or gives it up."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        if isinstance(input, bridge_inputs.Done):
            input = bridge_inputs.Keep(request=input.request)
        if isinstance(input, bridge_inputs.RequestChecked):
            input = replace(input, complete=False)
        return super().handle(input, now)


class HasNoGrace(BridgeMachine):
    """Rule 10 left out: a ping that comes back ends the session."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        actions = super().handle(input, now)
        for work in list(self._placing.holders.values()):
            if work.missing:
                self._holding.give_up(work, work.granted, "its ping came back")
        return actions


class AttachesAgain(BridgeMachine):
    """Each accept attaches, not only the first."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        actions = super().handle(input, now)
        message = input.message if isinstance(input, bridge_inputs.MessageReceived) else None
        work = self._placing.holders.get(message.session) if isinstance(message, Accept) else None
        session = work.session if work is not None else None
        if work is None or session is None or any(isinstance(a, bridge_actions.Attach) for a in actions):
            return actions
        if work.attached:
            actions.append(bridge_actions.Attach(request=work.request, holder=session.holder, adopted=False))
        return actions


class DeliversEarly(BridgeMachine):
    """Events of commands that Buildbot has not started (again) go to it, too."""

    unattached = False

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        message = input.message if isinstance(input, bridge_inputs.MessageReceived) else None
        work = self._placing.holders.get(message.session) if isinstance(message, Event) else None
        if isinstance(message, Event) and work is not None and (work.attached or self.unattached):
            order = work.granted.order
            if message.seq == order.delivered + 1:
                order.place = lambda event, *, open_: "next"  # type: ignore[method-assign]
                actions = super().handle(input, now)
                vars(order).pop("place", None)
                return actions
        return super().handle(input, now)


class DeliversUnattached(DeliversEarly):
    """… even where nothing is attached."""

    unattached = True


class LosesTwice(BridgeMachine):
    """What was lost is told a second time."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        actions = super().handle(input, now)
        return [*actions, *(action for action in actions if isinstance(action, bridge_actions.Lost))]


class LosesAtOnce(BridgeMachine):
    """The first session of each request is given up as soon as it is attached."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._lost: set[str] = set()

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        actions = super().handle(input, now)
        for attach in [action for action in actions if isinstance(action, bridge_actions.Attach)]:
            work = self._placing.works.get(attach.request)
            if work is not None and work.session is not None and attach.request not in self._lost:
                self._lost.add(attach.request)
                self._holding.give_up(work, work.session, "planted")
        return actions


class SwallowsEarlierStops(BridgeMachine):
    """Rule 14 left out: Buildbot is not told that an earlier incarnation had interrupted the command."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return _drop(bridge_actions.CancelledEarlier, super().handle(input, now))


class SendsInPlain(BridgeMachine):
    """Rule 24 left out for commands: a session has a seal, and they are sent as they are."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return [
            replace(action, terms=None)
            if isinstance(action, bridge_actions.Send) and isinstance(action.message, Start)
            else action
            for action in super().handle(input, now)
        ]


class OffersInPlain(BridgeMachine):
    """Rule 24 left out for command offers: what they run stands in the queue."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return [self._plain(action) for action in super().handle(input, now)]

    def _plain(self, action: bridge_actions.Action) -> bridge_actions.Action:
        if not isinstance(action, bridge_actions.PublishOffer) or action.offer.request not in self._placing.works:
            return action
        commands = commands_of(self._placing.works[action.offer.request].seek)
        return replace(action, offer=action.offer.model_copy(update={"commands": commands}))


class Crashes(BridgeMachine):
    """It raises at a resume."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        if isinstance(input, bridge_inputs.MessageReceived) and isinstance(input.message, Resume):
            raise RuntimeError("planted")
        return super().handle(input, now)
