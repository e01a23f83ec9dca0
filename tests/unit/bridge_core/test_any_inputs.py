"""Any sequence of inputs: the machine never raises, and these stay true whatever happens.

- each delivery of the present link is acknowledged once, or still held, by a session or as a claim that waits for the
  end of the roll call; none of a former link is
- without a link nothing is sent
- events reach Buildbot in order and once per attachment; one attachment per Seek; Lost only of an attachment
- one session per request, one request per session
- after a tick the next deadline lies ahead
- once everybody is gone for good, every request ends up waiting with an offer out, and nothing is held
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.messages import Marker, Message, Pull
from master_bridge.core.actions import (
    Abandoned,
    Ack,
    Action,
    Attach,
    Broadcast,
    DeadLetter,
    Deliver,
    Lost,
    PublishOffer,
    Send,
    SendMarker,
)
from master_bridge.core.inputs import (
    Declared,
    Done,
    EventStored,
    Input,
    InterruptCommand,
    Keep,
    LinkBlocked,
    LinkDown,
    LinkUp,
    MessageReceived,
    RequestChecked,
    Reroute,
    Returned,
    Seek,
    StartCommand,
    StatusesWanted,
    Tick,
    Withdraw,
)
from master_bridge.core.machine import BridgeConfig, BridgeMachine
from master_bridge.core.states import WITH_SESSION, State
from tests.generated import examples
from tests.unit.bridge_core.scene import MAKE, TEST, TICKETS, Agent, executing

REQUESTS = ("br-1", "br-2", "br-2/lint")
requests = st.sampled_from(REQUESTS)
agents = st.builds(
    Agent,
    st.sampled_from(["a", "b"]),
    session=st.sampled_from(["s-1", "s-2", "s-3"]),
    request=requests,
    run=st.integers(1, 3),
    user=st.sampled_from(["u", "u", "u", "mallory"]),
)
epochs = st.integers(1, 3)
small = st.integers(1, 3)


class AnyInputs(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.offers: list[str] = []
        self.machine = BridgeMachine(
            config=BridgeConfig(
                master="m", incarnation="inc-1", wall=lambda now: 1e9 + now, user="bridge", tickets=TICKETS
            ),
            new_id=self._new_id,
            now=0.0,
        )
        self.up = False
        self.next_delivery = 0
        #: deliveries of the present link that are not acknowledged
        self.open: set[int] = set()
        self.sought: set[str] = set()
        #: request -> events delivered in its attachment
        self.attached: dict[str, int] = {}
        self.session_of: dict[str, str] = {}
        self.markers: list[Message] = []
        self.sends: list[Send] = []

    def _new_id(self) -> str:
        self.offers.append(f"o-{len(self.offers) + 1}")
        return self.offers[-1]

    # doing and watching

    def do(self, input: Input) -> list[Action]:
        actions = self.machine.handle(input, self.now)
        for place, action in enumerate(actions):
            self.watch(action, actions[place + 1 :])
        return actions

    def watch(self, action: Action, rest: list[Action]) -> None:
        if isinstance(action, Ack):
            assert action.delivery in self.open, "acknowledged twice, or of a link that is gone"
            self.open.remove(action.delivery)
        elif isinstance(action, DeadLetter):
            assert Ack(delivery=action.delivery) in rest
        elif isinstance(action, (Send, PublishOffer, Broadcast, SendMarker)):
            assert self.up, "sent without a link"
            if isinstance(action, Send):
                self.sends.append(action)
            elif isinstance(action, SendMarker):
                self.markers.append(action.message)
        elif isinstance(action, Attach):
            assert action.request in self.sought
            assert action.request not in self.attached, "attached twice"
            self.attached[action.request] = 0
            self.session_of[action.request] = action.holder.session
        elif isinstance(action, Deliver):
            assert action.event.session == self.session_of[action.request]
            self.attached[action.request] += 1
            assert action.event.seq == self.attached[action.request], "out of order"
        elif isinstance(action, Lost):
            del self.attached[action.request]
            self.sought.remove(action.request)
        elif isinstance(action, Abandoned):
            self.attached.pop(action.request, None)
            self.sought.remove(action.request)

    def hear(self, message: Any, user: str) -> None:
        self.next_delivery += 1
        if self.up:
            self.open.add(self.next_delivery)
        self.do(MessageReceived(delivery=self.next_delivery, message=message, user=user))

    def let_go(self, order: Withdraw | Done | Keep) -> None:
        self.attached.pop(order.request, None)
        self.sought.discard(order.request)
        self.do(order)

    # inputs

    @rule()
    def link_up(self) -> None:
        self.up = True
        self.open.clear()
        self.do(LinkUp())

    @rule()
    def link_down(self) -> None:
        self.up = False
        self.open.clear()
        self.do(LinkDown())

    @rule(blocked=st.booleans())
    def blocked(self, blocked: bool) -> None:
        self.do(LinkBlocked(blocked=blocked))

    @rule(signatures=st.frozensets(st.sampled_from(["gtk", "qt"])))
    def declared(self, signatures: frozenset[str]) -> None:
        self.do(Declared(signatures=signatures))

    @rule(every=st.integers(5, 60))
    def statuses_wanted(self, every: int) -> None:
        self.do(StatusesWanted(every=every))

    @rule(request=requests, run=small, repeated=st.booleans(), fencing=st.sampled_from([None, 30.0]))
    def seek(self, request: str, run: int, repeated: bool, fencing: float | None) -> None:
        command = request.endswith("lint")
        self.attached.pop(request, None)
        self.sought.add(request)
        self.do(
            Seek(
                request=request,
                run=run,
                kind="command" if command else "build",
                signature="gtk",
                builddir="b",
                title="t",
                commands=(MAKE, TEST) if command else (),
                repeated=repeated,
                fencing=fencing,
            )
        )

    @rule(request=requests)
    def withdraw(self, request: str) -> None:
        self.let_go(Withdraw(request=request))

    @rule(request=requests)
    def done(self, request: str) -> None:
        self.let_go(Done(request=request))

    @rule(request=requests)
    def keep(self, request: str) -> None:
        self.let_go(Keep(request=request))

    @rule(request=requests, signature=st.sampled_from(["gtk", "qt"]))
    def reroute(self, request: str, signature: str) -> None:
        self.do(Reroute(request=request, signature=signature))

    @rule(request=requests, command=st.sampled_from([MAKE, TEST]))
    def start(self, request: str, command: Any) -> None:
        self.do(StartCommand(request=request, command=command))

    @rule(request=requests, n=st.integers(-1, 3))
    def interrupt(self, request: str, n: int) -> None:
        self.do(InterruptCommand(request=request, n=n, reason="stop"))

    @rule(request=requests, complete=st.booleans())
    def checked(self, request: str, complete: bool) -> None:
        self.do(RequestChecked(request=request, complete=complete))

    @rule(agent=agents, epoch=epochs, data=st.data())
    def claim(self, agent: Agent, epoch: int, data: st.DataObject) -> None:
        agent.epoch = epoch
        self.hear(agent.claim(data.draw(st.sampled_from([*self.offers[-3:], "o-old"]))), agent.user)

    @rule(agent=agents, epoch=epochs, commands=st.sampled_from([(), (executing(),), (executing(completed=True),)]))
    def resume(self, agent: Agent, epoch: int, commands: Any) -> None:
        agent.epoch = epoch
        self.hear(agent.resume(*commands), agent.user)

    @rule(agent=agents, epoch=epochs, incarnation=st.sampled_from(["inc-1", "inc-1", "inc-0"]))
    def accept(self, agent: Agent, epoch: int, incarnation: str) -> None:
        agent.epoch = epoch
        self.hear(agent.accept(incarnation), agent.user)

    @rule(data=st.data())
    def claim_what_waits(self, data: st.DataObject) -> None:
        """The usual way, so that deep states are met often."""
        waiting = [view for view in self.machine.requests() if view.state == "waiting"]
        if waiting and self.offers:
            view = data.draw(st.sampled_from(waiting))
            agent = data.draw(agents)
            agent.request, agent.user = view.request, "u"
            self.hear(agent.claim(self.offers[-1]), "u")

    @rule(data=st.data(), newer=st.booleans())
    def holder_accepts(self, data: st.DataObject, newer: bool) -> None:
        holders = [view for view in self.machine.requests() if view.session and view.state != "unasked"]
        if holders:
            view = data.draw(st.sampled_from(holders))
            agent = Agent(view.agent or "", session=view.session or "", request=view.request, run=view.run, user="u")
            agent.epoch = int((view.address or "").rsplit(".", 1)[1]) + newer
            self.hear(agent.accept(), "u")

    @rule(agent=agents, epoch=epochs, reason=st.sampled_from(["lost", "diverged", "unknown"]))
    def gone(self, agent: Agent, epoch: int, reason: str) -> None:
        agent.epoch = epoch
        self.hear(agent.gone(reason), agent.user)

    @rule(agent=agents, seq=st.integers(1, 4), n=st.integers(1, 2), completed=st.booleans(), why=st.booleans())
    def event(self, agent: Agent, seq: int, n: int, completed: bool, why: bool) -> None:
        kind = "completed" if completed else "stdout"
        self.hear(agent.event(seq, n, kind, interrupted="stop" if completed and why else None), agent.user)

    @rule(session=st.sampled_from(["s-1", "s-2", "s-3"]), seq=st.integers(-1, 5))
    def stored(self, session: str, seq: int) -> None:
        self.do(EventStored(session=session, seq=seq))

    @rule(agent=agents)
    def pull(self, agent: Agent) -> None:
        self.hear(Pull(session=agent.session, n=1, offset=0, length=1), agent.user)

    @rule(data=st.data())
    def something_returns(self, data: st.DataObject) -> None:
        if self.sends:
            send = data.draw(st.sampled_from(self.sends[-5:]))
            self.do(Returned(message=send.message, routing_key=send.address))  # type: ignore[arg-type]

    @rule(k=st.integers(0, 5))
    def stray_marker(self, k: int) -> None:
        self.hear(Marker(incarnation="inc-1", k=k), "bridge")

    @rule()
    def markers_return(self) -> None:
        markers, self.markers = self.markers, []
        for marker in markers:
            self.hear(marker, "bridge")

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 2.0, 6.0, 40.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.do(Tick())
        deadline = self.machine.deadline
        assert deadline is None or deadline > self.now

    # what holds always

    @invariant()
    def each_delivery_is_held_or_acknowledged(self) -> None:
        held: list[int] = []
        for session in self._sessions():
            held += [session.delivery] if session.delivery is not None else []
            held += [delivery for _, delivery, _ in session.order.held if delivery is not None]
        for work in self.machine._placing.works.values():
            held += [claim.delivery for claim in work.collected.values()]
        assert sorted(held) == sorted(self.open)

    def _sessions(self) -> list[Any]:
        placing, roll = self.machine._placing, self.machine._roll
        return [work.session for work in placing.works.values() if work.session is not None] + list(roll)

    @invariant()
    def a_request_has_one_session_and_a_session_one_request(self) -> None:
        placing = self.machine._placing
        assert set(placing.works) == self.sought
        granted = {work.session.session: work for work in placing.works.values() if work.session is not None}
        assert granted == placing.holders
        assert not [session for session in self.machine._roll if session.session in granted]
        for work in placing.works.values():
            assert (work.session is not None) == (work.state in WITH_SESSION)
            assert work.attached == (work.request in self.attached)
            assert work.missing == (work.session is not None and work.session.missing is not None)
            if work.state is State.WAITING and self.up:
                assert work.offers, "waits without an offer"

    def teardown(self) -> None:
        """Everybody is gone for good: all that comes back are our markers and what we sent."""
        self.link_up()
        self.sends.clear()
        until = self.now + 200.0
        while (deadline := self.machine.deadline) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.do(Tick())
            returns, self.sends = self.sends, []
            for send in returns:
                self.do(Returned(message=send.message, routing_key=send.address))  # type: ignore[arg-type]
            self.markers_return()
            self.a_request_has_one_session_and_a_session_one_request()
        assert {view.state for view in self.machine.requests()} <= {"waiting", "unasked"}
        assert not self.attached


TestAnyInputs = AnyInputs.TestCase
TestAnyInputs.settings = settings(
    max_examples=examples(150), stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
