"""Agents that break one rule each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from contracts.messages import Event, Offer, Refuse, Start
from worker_agent.core import actions as agent_actions
from worker_agent.core import inputs as agent_inputs
from worker_agent.core.machine import AgentMachine
from worker_agent.core.masters import MasterId
from worker_agent.core.session import Stage


def _drop(kind: type, actions: Iterable[Any]) -> list[Any]:
    return [action for action in actions if not isinstance(action, kind)]


class SpeaksInPlain(AgentMachine):
    """Rule 24 left out for events: a session has a seal, and its output is published as it is."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        return [
            replace(action, sealed=False)
            if isinstance(action, agent_actions.Publish) and isinstance(action.message, Event)
            else action
            for action in super().handle(input, now)
        ]


class StartsAgain(AgentMachine):
    """A `start` runs its command, known or not."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        actions = super().handle(input, now)
        if isinstance(input, agent_inputs.MessageReceived) and isinstance(input.message, Start):
            run = agent_actions.RunCommand(session=input.message.session, command=input.message.command)
            return actions if run in actions else [*actions, run]
        return actions


class KeepsSessions(AgentMachine):
    """Released sessions are not cleaned up."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        return _drop(agent_actions.CloseSession, super().handle(input, now))


class IgnoresRefusals(AgentMachine):
    """A refused resume is not obeyed."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        if isinstance(input, agent_inputs.MessageReceived) and isinstance(input.message, Refuse):
            input = agent_inputs.Tick()
        return super().handle(input, now)


class NeverAcknowledges(AgentMachine):
    """Finished offers stay unacknowledged."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        return _drop(agent_actions.Ack, super().handle(input, now))


class GoesDeaf(AgentMachine):
    """Consumes once, and never again."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        actions = super().handle(input, now)
        if isinstance(input, (agent_inputs.QueuesKnown, agent_inputs.LinkUp)):
            return actions
        return _drop(agent_actions.Consume, actions)


class GivesBack(AgentMachine):
    """Offers of a silent master are given back instead of parked: the hot loop of rule 20."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        return [
            agent_actions.GiveBack(delivery=action.delivery) if isinstance(action, agent_actions.Park) else action
            for action in super().handle(input, now)
        ]


class ForgetsSilence(AgentMachine):
    """Every offer of a dead master costs a slot 5 s (rule 19 left out)."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        actions = super().handle(input, now)
        for master in ("m1", "m2"):
            self._state.masters.heard(MasterId(master, f"bridge-{master}"), now)
        return actions


class TakesAnyForFirst(AgentMachine):
    """Rule 15 without its look at the time of publication."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        if isinstance(input, agent_inputs.OfferDelivered):
            input = replace(input, offer=input.offer.model_copy(update={"published": 1e12}))
        return super().handle(input, now)


class BelievesDigests(AgentMachine):
    """A changed command is taken for the one that was executed."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        if isinstance(input, agent_inputs.MessageReceived) and isinstance(input.message, Start):
            session = self._state.sessions.get(input.message.session)
            known = session.commands.get(input.message.command.n) if session else None
            if known is not None:
                command = input.message.command.model_copy(update={"digest": known.digest})
                input = replace(input, message=input.message.model_copy(update={"command": command}))
        return super().handle(input, now)


class ChangesReplays(AgentMachine):
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


class NeverPauses(AgentMachine):
    """An agent that cannot start keepers goes on taking builds."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._state.fitness.keeper_failed = lambda now: 0.0  # type: ignore[method-assign]


class InterruptsOnItsOwn(AgentMachine):
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


class BuriesWhatWaits(AgentMachine):
    """Offers of a silent master are buried instead of parked."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        return [
            agent_actions.SendToDead(delivery=action.delivery, reason="?")
            if isinstance(action, agent_actions.Park)
            else action
            for action in super().handle(input, now)
        ]


class StartsAllAtOnce(AgentMachine):
    """The commands of a command offer run side by side."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        actions: list[agent_actions.Action] = []
        for action in super().handle(input, now):
            actions.append(action)
            if not isinstance(action, agent_actions.RunCommand):
                continue
            session = self._state.sessions.get(action.session)
            for known in session.commands.values() if session is not None else ():
                if not known.started and known.command is not None:
                    known.stage = Stage.RUNNING
                    actions.append(agent_actions.RunCommand(session=action.session, command=known.command))
        return actions


class ServesOneQueueFirst(AgentMachine):
    """The queues are always consumed in the same order."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        return [
            replace(action, queues=tuple(sorted(action.queues)))
            if isinstance(action, agent_actions.Consume)
            else action
            for action in super().handle(input, now)
        ]


class ForgetsItsGrants(AgentMachine):
    """A main process that starts does not know which of the sessions that it finds were granted."""

    def __init__(self, *, recovered: Sequence[agent_inputs.Recovered], **arguments: Any) -> None:
        forgotten = [replace(found, meta=replace(found.meta, granted=False)) for found in recovered]
        super().__init__(recovered=forgotten, **arguments)


class ForgetsItsRuns(AgentMachine):
    """… or not for which run."""

    def __init__(self, *, recovered: Sequence[agent_inputs.Recovered], **arguments: Any) -> None:
        forgotten = [replace(found, meta=replace(found.meta, run=None)) for found in recovered]
        super().__init__(recovered=forgotten, **arguments)


class OpensTheGate(AgentMachine):
    """Events go out whether or not the bridge's incarnation has started their command."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        for session in self._state.sessions.values():
            session.granted = False
        return super().handle(input, now)


class ObeysAnyUser(AgentMachine):
    """Rule 22 left out: a session is spoken of by whoever names it and its master."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        if isinstance(input, agent_inputs.MessageReceived):
            session = self._state.sessions.get(getattr(input.message, "session", ""))
            if session is not None:
                input = replace(input, user=session.owner.user)
        return super().handle(input, now)


class KeepsOperators(AgentMachine):
    """Rule 26 left out: an operator's session in which nothing runs does not end when its operator is gone."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        for session in self._state.sessions.values():
            if session.is_direct and all(command.completed for command in session.commands.values()):
                session.contact_at = now
        return super().handle(input, now)


class TakesOperatorsWhenIdle(AgentMachine):
    """Rule 26 left out: it does not look at an operator's offer while it holds a build."""

    def handle(self, input: agent_inputs.Input, now: float) -> list[agent_actions.Action]:
        is_offer = isinstance(input, agent_inputs.MessageReceived) and isinstance(input.message, Offer)
        return super().handle(agent_inputs.Tick() if is_offer and self._state.builds else input, now)
