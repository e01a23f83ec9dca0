"""A bridge among agents that say anything that they may say, at any time: deep states are met often."""

from __future__ import annotations

import random
from collections.abc import Callable

from contracts.messages import Message, Pull
from master_bridge.core.actions import Deliver, PublishOffer, Send
from master_bridge.core.inputs import (
    AgentDied,
    AgentHeard,
    Done,
    EventStored,
    Input,
    InterruptCommand,
    Keep,
    LinkBlocked,
    LinkDown,
    LinkUp,
    RequestChecked,
    Reroute,
    StartCommand,
    Withdraw,
)

from .scene import MAKE, TEST, Agent, Scene, executing, sent

REQUESTS = ("br-1", "br-2", "br-2/lint")


class Play:
    """`seed` says what happens."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._scene = Scene()
        self._agents = 0
        #: by request, who has spoken for it, the newest last
        self._known: dict[str, list[Agent]] = {request: [] for request in REQUESTS}
        self._sends: list[Send] = []

    def step(self) -> None:
        request = self._dice.choice(REQUESTS)
        steps: dict[Callable[[str], object], float] = {
            self._seek: 6, self._end: 0.7, self._keep: 0.5, self._reroute: 2, self._start: 4, self._interrupt: 3,
            self._claim: 10, self._resume: 4, self._accept: 14, self._earlier_accept: 2, self._gone: 2,
            self._event: 8, self._pull: 2, self._stored: 2, self._returned: 6, self._died: 2, self._heard: 2,
            self._link: 0.7, self._blocked: 0.7, self._checked: 1, self._time: 8,
        }  # fmt: skip
        self._dice.choices(list(steps), list(steps.values()))[0](request)
        self._sends = [*self._sends, *sent(self._scene.last, Send)][-8:]

    # ---- Buildbot

    def _seek(self, request: str) -> None:
        if self._scene.state(request) == "none" or self._dice.random() < 0.15:
            self._ask(request)

    def _ask(self, request: str) -> None:
        command = request.endswith("lint")
        self._scene.seek(
            request,
            run=1,
            kind="command" if command else "build",
            commands=(MAKE, TEST) if command else (),
            seal=self._dice.random() < 0.2,
        )

    def _end(self, request: str) -> None:
        order: Input = Withdraw(request=request) if self._dice.random() < 0.5 else Done(request=request)
        self._scene.do(order)

    def _keep(self, request: str) -> None:
        self._scene.do(Keep(request=request))

    def _reroute(self, request: str) -> None:
        signature = self._dice.choice(["gtk", "qt"])
        self._scene.do(Reroute(request=request, signature=signature, seal=self._dice.random() < 0.3))

    def _start(self, request: str) -> None:
        self._scene.do(StartCommand(request=request, command=MAKE))

    def _interrupt(self, request: str) -> None:
        self._scene.do(InterruptCommand(request=request, n=self._dice.randint(0, 2), reason="Stop"))

    def _checked(self, request: str) -> None:
        self._scene.do(RequestChecked(request=request, complete=self._dice.random() < 0.3))

    def _stored(self, request: str) -> None:
        for deliver in sent(self._scene.all[-20:], Deliver):
            self._scene.do(EventStored(session=deliver.event.session, seq=deliver.event.seq))
        agent = self._holder(request)
        self._scene.do(EventStored(session=agent.session, seq=self._dice.randint(1, 3)))

    # ---- agents

    def _new(self, request: str) -> Agent:
        self._agents += 1
        agent = Agent(f"a{self._agents}", request=request)
        self._known[request].append(agent)
        return agent

    def _holder(self, request: str) -> Agent:
        """Of the request's session, mostly; else anybody who spoke for it."""
        known = self._known[request] or [self._new(request)]
        has = next((view.session for view in self._scene.machine.requests() if view.request == request), None)
        found = [agent for agent in known if agent.session == has]
        return self._dice.choice(found if found and self._dice.random() < 0.9 else known[-3:])

    def _somebody(self, request: str) -> Agent:
        return self._new(request) if self._dice.random() < 0.5 else self._holder(request)

    def _says(self, agent: Agent, made: Callable[[], Message]) -> None:
        """Now and then from a new connection, or from one that was replaced."""
        at = self._dice.random()
        if at < 0.25:
            agent.epoch += 1
        elif at < 0.4 and agent.epoch > 1:
            agent.epoch -= 1
            self._scene.says(agent, made())  # type: ignore[arg-type]
            agent.epoch += 1
            return
        self._scene.says(agent, made())  # type: ignore[arg-type]

    def _claim(self, request: str) -> None:
        agent = self._somebody(request)
        offers = [a.offer.offer for a in self._scene.all[-60:] if isinstance(a, PublishOffer)]
        key = self._dice.choice([None, "a key"])
        offer = self._dice.choice([*offers[-2:], "o-old"])
        self._says(agent, lambda: agent.claim(offer).model_copy(update={"key": key}))

    def _resume(self, request: str) -> None:
        agent = self._somebody(request)
        commands = self._dice.choice([(), (executing(),), (executing(completed=True),)])
        key = self._dice.choice([None, "a key", "a key"])
        self._says(agent, lambda: agent.resume(*commands).model_copy(update={"key": key}))

    def _accept(self, request: str) -> None:
        agent = self._holder(request)
        self._says(agent, agent.accept)

    def _earlier_accept(self, request: str) -> None:
        agent = self._somebody(request)
        self._says(agent, lambda: agent.accept("inc-0"))

    def _gone(self, request: str) -> None:
        agent = self._holder(request)
        reason = self._dice.choice(["lost", "diverged", "unknown"])
        self._says(agent, lambda: agent.gone(reason))

    def _event(self, request: str) -> None:
        agent = self._holder(request)
        kind = self._dice.choice(["stdout", "stdout", "completed"])
        self._scene.says(agent, agent.event(self._dice.randint(1, 4), self._dice.randint(1, 2), kind))

    def _pull(self, request: str) -> None:
        agent = self._holder(request)
        self._scene.says(agent, Pull(session=agent.session, n=1, offset=0, length=1))

    def _heard(self, request: str) -> None:
        agent = self._holder(request)
        self._scene.do(AgentHeard(instance=f"i-{agent.name}", user=agent.user))

    # ---- the link, and time

    def _returned(self, request: str) -> None:
        if self._sends:
            send = self._dice.choice(self._sends)
            self._scene.returned(send.message, send.address)  # type: ignore[arg-type]

    def _died(self, request: str) -> None:
        self._scene.do(AgentDied(address=self._holder(request).address))

    def _link(self, request: str) -> None:
        self._scene.do(LinkDown())
        if self._dice.random() < 0.5:
            self._ask(request)
        if self._dice.random() < 0.1:
            self._keep(request)
        self._scene.do(LinkUp())
        if self._dice.random() < 0.8:
            self._scene.settle()

    def _blocked(self, request: str) -> None:
        self._scene.do(LinkBlocked(blocked=True))
        self._scene.do(LinkBlocked(blocked=False))

    def _time(self, request: str) -> None:
        seconds = self._dice.choice([0.1] * 4 + [0.5, 1.0, 4.5, 6.0, 40.0, 700.0])
        self._scene.wait(seconds, markers=self._dice.random() < 0.7)
