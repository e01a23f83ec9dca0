"""Planted faults: machines that break one rule each. The simulator must find every one (test_mutants.py).

Each is the real machine with its inputs or actions tampered with, so that the machine itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from contracts.messages import Event, Grant, Offer, Refuse, Resume, Start
from master_bridge.core import actions as bridge_actions
from master_bridge.core import inputs as bridge_inputs
from master_bridge.core.machine import BridgeMachine
from worker_agent.core import actions as agent_actions
from worker_agent.core import inputs as agent_inputs
from worker_agent.core.machine import AgentMachine


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """What is wrong with which side, where it shows, and as what."""

    name: str
    agent: type[AgentMachine] | None = None
    bridge: type[BridgeMachine] | None = None
    #: profile whose schedules provoke it, and how many of them suffice
    profile: str = "mixed"
    seeds: int = 100
    #: the invariants that it may violate; the first is the one that it was planted for
    violates: tuple[str, ...] = ()

    def agent_machine(self, machine: type[AgentMachine]) -> type[AgentMachine]:
        return self.agent or machine

    def bridge_machine(self, machine: type[BridgeMachine]) -> type[BridgeMachine]:
        return self.bridge or machine


NONE = Mutant(name="none")


def _drop(kind: type, actions: Iterable[Any]) -> list[Any]:
    return [action for action in actions if not isinstance(action, kind)]


# ---- agents


class _StartsAgain(AgentMachine):
    """A `start` runs its command, known or not."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        actions = super().handle(input, now)
        if isinstance(input, agent_inputs.MessageReceived) and isinstance(input.message, Start):
            run = agent_actions.RunCommand(session=input.message.session, command=input.message.command)
            return actions if run in actions else [*actions, run]
        return actions


class _KeepsSessions(AgentMachine):
    """Released sessions are not cleaned up."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        return _drop(agent_actions.CloseSession, super().handle(input, now))


class _IgnoresRefusals(AgentMachine):
    """A refused resume is not obeyed."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        if isinstance(input, agent_inputs.MessageReceived) and isinstance(input.message, Refuse):
            input = agent_inputs.Tick()
        return super().handle(input, now)


class _NeverAcknowledges(AgentMachine):
    """Finished offers stay unacknowledged."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        return _drop(agent_actions.Ack, super().handle(input, now))


class _GoesDeaf(AgentMachine):
    """Consumes once, and never again."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        actions = super().handle(input, now)
        if isinstance(input, (agent_inputs.QueuesKnown, agent_inputs.LinkUp)):
            return actions
        return _drop(agent_actions.Consume, actions)


class _GivesBack(AgentMachine):
    """Offers of a silent master are given back instead of parked: the hot loop of rule 20."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        return [
            agent_actions.GiveBack(delivery=action.delivery) if isinstance(action, agent_actions.Park) else action
            for action in super().handle(input, now)
        ]


class _ForgetsSilence(AgentMachine):
    """Every offer of a dead master costs a slot 5 s (rule 19 left out)."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        actions = super().handle(input, now)
        for master in ("m1", "m2"):
            self._state.masters.heard(master, now)
        return actions


class _TakesAnyForFirst(AgentMachine):
    """Rule 15 without its look at the time of publication."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        if isinstance(input, agent_inputs.OfferDelivered):
            input = replace(input, offer=input.offer.model_copy(update={"published": 1e12}))
        return super().handle(input, now)


class _BelievesDigests(AgentMachine):
    """A changed command is taken for the one that was executed."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        if isinstance(input, agent_inputs.MessageReceived) and isinstance(input.message, Start):
            session = self._state.sessions.get(input.message.session)
            known = session.commands.get(input.message.command.n) if session else None
            if known is not None:
                command = input.message.command.model_copy(update={"digest": known.digest})
                input = agent_inputs.MessageReceived(message=input.message.model_copy(update={"command": command}))
        return super().handle(input, now)


class _ChangesReplays(AgentMachine):
    """An event that is sent again is not what it was."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._sent: set[tuple[str, int]] = set()

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        return [self._change(action) for action in super().handle(input, now)]

    def _change(self, action: agent_actions.Action) -> agent_actions.Action:
        if not isinstance(action, agent_actions.Publish) or not isinstance(action.message, Event):
            return action
        key = (action.message.session, action.message.seq)
        if key in self._sent and action.message.data:
            return replace(action, message=action.message.model_copy(update={"data": b"?"}))
        self._sent.add(key)
        return action


class _NeverPauses(AgentMachine):
    """An agent that cannot start keepers goes on taking builds."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._fitness.keeper_failed = lambda _: 0.0  # type: ignore[method-assign]


class _InterruptsOnItsOwn(AgentMachine):
    """A lost link interrupts what runs."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        actions = super().handle(input, now)
        if isinstance(input, agent_inputs.LinkDown):
            actions += [
                agent_actions.InterruptCommand(session=session.id, n=n, reason="link lost")
                for session in self._state.sessions.values()
                for n, command in session.commands.items()
                if command.running
            ]
        return actions


# ---- bridges


class _GrantsTwice(BridgeMachine):
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
        )
        return bridge_actions.Send(message=grant, address=action.address)  # type: ignore[union-attr]  # a Send


class _DeliversAgain(BridgeMachine):
    """What comes a second time goes to Buildbot a second time."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        actions = super().handle(input, now)
        message = input.message if isinstance(input, bridge_inputs.MessageReceived) else None
        if isinstance(message, Event) and not any(isinstance(a, bridge_actions.Deliver) for a in actions):
            for view in self.requests():
                if view.session == message.session and view.state == "held" and message.seq <= view.delivered:
                    actions.append(bridge_actions.Deliver(request=view.request, event=message))
        return actions


class _SkipsGaps(BridgeMachine):
    """Without a replay: what comes after a gap is taken as it comes."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        message = input.message if isinstance(input, bridge_inputs.MessageReceived) else None
        if isinstance(message, Event):
            work = self._placing.holders.get(message.session)
            if work is not None and work.session is not None and work.session.attached:
                work.session.order.delivered = max(work.session.order.delivered, message.seq - 1)
        return super().handle(input, now)


class _SwallowsLosses(BridgeMachine):
    """Buildbot is not told that a session is lost."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return _drop(bridge_actions.Lost, super().handle(input, now))


class _AbandonsAtOnce(BridgeMachine):
    """The first lost session is the last."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return [
            bridge_actions.Abandoned(request=action.request, reason=action.reason)
            if isinstance(action, bridge_actions.Lost)
            else action
            for action in super().handle(input, now)
        ]


class _ForgetsFencing(BridgeMachine):
    """Strict fencing: gives up before the agent has killed what runs."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._presence._grace = lambda _: 0.0  # type: ignore[method-assign]


class _CallsNoRoll(BridgeMachine):
    """Sessions of an earlier incarnation are refused."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        if isinstance(input, bridge_inputs.MessageReceived) and isinstance(input.message, Resume):
            resume = input.message
            if not any(view.session == resume.session for view in self.requests()):
                refuse = Refuse(session=resume.session, master=resume.master, re="resume", reason="who are you?")
                ack = bridge_actions.Ack(delivery=input.delivery)
                return [bridge_actions.Send(message=refuse, address=resume.address), ack]
        return super().handle(input, now)


class _NeverAsks(BridgeMachine):
    """Rule 16 left out: no offer is marked `ask`."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return [
            replace(action, offer=action.offer.model_copy(update={"ask": False}))
            if isinstance(action, bridge_actions.PublishOffer)
            else action
            for action in super().handle(input, now)
        ]


class _KeepsClaims(BridgeMachine):
    """What the roll needed (rule 11) is not acknowledged when its session is over."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        actions = super().handle(input, now)
        return _drop(bridge_actions.Ack, actions) if isinstance(input, bridge_inputs.Done) else actions


class _NeverSweeps(BridgeMachine):
    """Offers of requests that are over stay in their queue until an agent comes."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        return _drop(bridge_actions.SweepOffers, super().handle(input, now))


class _SweepsWhatWaits(BridgeMachine):
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


class _OffersOnce(BridgeMachine):
    """What waits is not offered again, however long it waits."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._due["reoffer"] = lambda _: None


class _HasNoGrace(BridgeMachine):
    """Rule 10 left out: a ping that comes back ends the session."""

    def handle(self, input: bridge_inputs.Input, now: float) -> list[bridge_actions.Action]:
        actions = super().handle(input, now)
        for work, session in list(self._presence._holders()):
            if session.missing is not None:
                self._holding.give_up(work, session, "its ping came back")
        return actions


_LEFT_OVER = "nothing is left over, every agent ends idle and consuming"
_ONCE = "a restarted master runs no command again"
_RUNS_ONCE = "a command runs once in a session"
_ORDER = "every event reaches Buildbot once, in order"

MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant
    for mutant in (
        Mutant(name="starts_again", agent=_StartsAgain, profile="links", violates=(_RUNS_ONCE,)),
        Mutant(name="keeps_sessions", agent=_KeepsSessions, profile="calm", violates=(_LEFT_OVER,)),
        Mutant(
            name="ignores_refusals",
            agent=_IgnoresRefusals,
            profile="links",
            violates=("no zombies: who is told that a session is over ends it", _LEFT_OVER),
        ),
        Mutant(name="never_acknowledges", agent=_NeverAcknowledges, profile="calm", violates=(_LEFT_OVER,)),
        Mutant(name="goes_deaf", agent=_GoesDeaf, profile="calm", violates=(_LEFT_OVER,)),
        Mutant(
            name="gives_back",
            agent=_GivesBack,
            profile="dead_master",
            violates=("no message is delivered more than 25 times",),
        ),
        Mutant(
            name="forgets_silence",
            agent=_ForgetsSilence,
            profile="dead_master",
            violates=("a dead master delays a living one by under a second",),
        ),
        Mutant(name="takes_any_for_first", agent=_TakesAnyForFirst, profile="blackout", seeds=300, violates=(_ONCE,)),
        Mutant(
            name="believes_digests",
            agent=_BelievesDigests,
            profile="masters",
            violates=("a changed command is never taken for the old one",),
        ),
        Mutant(
            name="changes_replays",
            agent=_ChangesReplays,
            profile="masters",
            violates=("every event reaches Buildbot as it was",),
        ),
        Mutant(
            name="never_pauses",
            agent=_NeverPauses,
            profile="agents",
            seeds=300,
            violates=("no machine burns builds",),
        ),
        Mutant(
            name="interrupts_on_its_own",
            agent=_InterruptsOnItsOwn,
            profile="links",
            violates=("only what a user stopped is CANCELLED",),
        ),
        Mutant(
            name="grants_twice",
            bridge=_GrantsTwice,
            profile="commands",
            violates=("at most one agent runs a request's commands",),
        ),
        Mutant(name="delivers_again", bridge=_DeliversAgain, profile="links", violates=(_ORDER,)),
        Mutant(name="skips_gaps", bridge=_SkipsGaps, profile="flow", seeds=400, violates=(_ORDER,)),
        Mutant(name="swallows_losses", bridge=_SwallowsLosses, profile="agents", violates=(_LEFT_OVER,)),
        Mutant(
            name="abandons_at_once",
            bridge=_AbandonsAtOnce,
            profile="agents",
            violates=("only what cost three lives is abandoned",),
        ),
        Mutant(
            name="forgets_fencing",
            bridge=_ForgetsFencing,
            profile="strict",
            seeds=300,
            violates=("strict fencing: never two runs at a time",),
        ),
        Mutant(name="calls_no_roll", bridge=_CallsNoRoll, profile="restart", violates=(_ONCE,)),
        Mutant(name="never_asks", bridge=_NeverAsks, profile="crowd", seeds=300, violates=(_ONCE,)),
        Mutant(name="keeps_claims", bridge=_KeepsClaims, profile="calm", violates=(_LEFT_OVER,)),
        Mutant(name="never_sweeps", bridge=_NeverSweeps, profile="last_agents", violates=(_LEFT_OVER,)),
        Mutant(name="sweeps_what_waits", bridge=_SweepsWhatWaits, profile="agents", violates=(_LEFT_OVER,)),
        Mutant(name="offers_once", bridge=_OffersOnce, profile="people", violates=(_LEFT_OVER,)),
        Mutant(name="has_no_grace", bridge=_HasNoGrace, profile="restart", violates=(_ONCE,)),
    )
}
