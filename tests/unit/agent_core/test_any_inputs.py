"""Whatever comes, in whatever order: the machine never raises, and keeps the promises that `Watch` checks."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from contracts.messages import Data, Event, Offer
from worker_agent.core import actions, inputs

from .harness import OPENED_AT, QUEUES, Agent, command, offer

SESSIONS = st.sampled_from(["s1", "s2", "s3", "s4", "s5", "s6", "never"])
INCARNATIONS = st.sampled_from(["I1", "I1", "I1", "I2", "J1"])
NUMBERS = st.integers(1, 3)
DIGESTS = st.sampled_from(["d", "d", "d", "d", "other"])


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    kind = draw(st.sampled_from(["build", "command"]))
    return offer(
        f"o{draw(st.integers(1, 5))}",
        request=f"br-{draw(st.integers(1, 4))}",
        master=draw(st.sampled_from(["m", "m", "n"])),
        kind=kind,
        ask=draw(st.booleans()),
        published=OPENED_AT + draw(st.sampled_from([1, -300])),
        fencing=draw(st.sampled_from([None, None, 20.0])),
        commands=tuple(command(n) for n in range(1, draw(st.integers(0, 3)) + 1)) if kind == "command" else (),
    )


class AnyInputs(RuleBasedStateMachine):
    """Each rule is one input, or the passing of time."""

    @initialize(slots=st.integers(1, 3))
    def begin(self, slots: int) -> None:
        self.agent = Agent(slots=slots)
        self.open_tokens: list[int] = []
        self.known_deliveries: list[int] = []

    def _told(self) -> None:
        """After each rule: collect what may be answered later, let removed journals go."""
        for action in self.agent.did:
            if isinstance(action, actions.Publish) and action.token is not None:
                self.open_tokens.append(action.token)
            elif isinstance(action, actions.CloseSession) and not action.keep_journal:
                self.agent.journal.remove(action.session)

    # ---- link and broker

    @rule()
    def link_up(self) -> None:
        self.agent.link_up()
        self._told()

    @rule()
    def link_down(self) -> None:
        self.agent.link_down()
        self.open_tokens.clear()
        self._told()

    @rule(what=offers(), redelivered=st.booleans(), deaths=st.sampled_from([0, 0, 2]))
    def offered(self, what: Offer, redelivered: bool, deaths: int) -> None:
        self.known_deliveries.append(self.agent.offer(what, redelivered=redelivered, deaths=deaths))
        self._told()

    @precondition(lambda self: self.known_deliveries)
    @rule(data=st.data())
    def delivery_lost(self, data: st.DataObject) -> None:
        self.agent.tell(inputs.DeliveryLost(delivery=data.draw(st.sampled_from(self.known_deliveries))))
        self._told()

    @rule(taken=st.sampled_from([True, True, False]))
    def all_answered(self, taken: bool) -> None:
        tokens, self.open_tokens = self.open_tokens, []
        for token in tokens:
            self.agent.tell(inputs.Confirmed(token=token) if taken else inputs.Refused(token=token))
            self._told()

    @rule(token=st.integers(0, 50))
    def a_token_that_may_be_stale(self, token: int) -> None:
        self.agent.tell(inputs.Refused(token=token))
        self._told()

    @rule(queues=st.sampled_from([QUEUES, frozenset({"cap.new"}), frozenset()]))
    def queues_known(self, queues: frozenset[str]) -> None:
        self.agent.tell(inputs.QueuesKnown(queues=queues))
        self._told()

    # ---- people and the machine

    @rule(reasons=st.sampled_from([(), (), ("disk full",)]))
    def wellness(self, reasons: tuple[str, ...]) -> None:
        self.agent.tell(inputs.Wellness(reasons=reasons))
        self._told()

    @rule(often=st.integers(0, 9), resume=st.booleans())
    def drain(self, often: int, resume: bool) -> None:
        if often == 0 or resume:
            self.agent.tell(inputs.Drain(resume=resume))
            self._told()

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 6.0, 12.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.agent.wait(seconds)
        self._told()

    # ---- keepers

    @rule(data=st.data(), size=st.sampled_from([0, 10, 100_000, 262_144]), many=st.sampled_from([1, 3, 70]))
    def writes(self, data: st.DataObject, size: int, many: int) -> None:
        """A command that runs says something, or completes."""
        journal, running = self.agent.journal, []
        for session, n in sorted(self.agent.watch.run):
            events = [event for event in journal.events.get(session, []) if event.n == n]
            alive = session in self.agent.watch.open - self.agent.watch.aside
            if alive and not any(event.kind == "completed" for event in events):
                running.append((session, n, bool(events)))
        if not running:
            return
        session, n, started = data.draw(st.sampled_from(running))
        if not started:
            self.agent.write((n, "started"), session=session)
        elif data.draw(st.booleans()):
            for _ in range(many):
                seq = journal.last_seq(session) + 1
                journal.append(Event(session=session, seq=seq, n=n, kind="stdout", data=bytes(size)))
            self.agent.tell(inputs.Journalled(session=session, seq=journal.last_seq(session)))
        else:
            self.agent.write((n, "completed"), session=session, interrupted=data.draw(st.sampled_from([None, "Stop"])))
        self._told()

    @rule(session=SESSIONS, seq=st.integers(1, 5))
    def journalled_without_a_word(self, session: str, seq: int) -> None:
        self.agent.tell(inputs.Journalled(session=session, seq=min(seq, self.agent.journal.last_seq(session))))
        self._told()

    @rule(session=SESSIONS)
    def keeper_lost(self, session: str) -> None:
        self.agent.tell(inputs.KeeperLost(session=session, reason="killed by signal 9"))
        self._told()

    @rule(session=SESSIONS, n=NUMBERS)
    def pull_wanted(self, session: str, n: int) -> None:
        self.agent.tell(inputs.PullWanted(session=session, n=n, offset=0, length=10))
        self._told()

    # ---- bridges

    @rule(session=SESSIONS, incarnation=INCARNATIONS, master=st.sampled_from(["m", "m", "n"]), data=st.data())
    def grant(self, session: str, incarnation: str, master: str, data: st.DataObject) -> None:
        stored = data.draw(st.integers(0, self.agent.journal.last_seq(session)))
        self.agent.grant(session, incarnation, stored, master=master)
        self._told()

    @rule(session=SESSIONS, incarnation=INCARNATIONS, data=st.data(), how=st.sampled_from(["ping", "stored", "replay"]))
    def borders(self, session: str, incarnation: str, data: st.DataObject, how: str) -> None:
        stored = data.draw(st.integers(0, self.agent.journal.last_seq(session)))
        getattr(self.agent, how)(stored, session, incarnation)
        self._told()

    @rule(session=SESSIONS, incarnation=INCARNATIONS)
    def stored_more_than_there_is(self, session: str, incarnation: str) -> None:
        self.agent.ping(self.agent.journal.last_seq(session) + 5, session, incarnation)
        self._told()

    @rule(session=SESSIONS, incarnation=INCARNATIONS, n=NUMBERS, digest=DIGESTS)
    def start(self, session: str, incarnation: str, n: int, digest: str) -> None:
        self.agent.start(n, digest, session, incarnation)
        self._told()

    @rule(session=SESSIONS, incarnation=INCARNATIONS, n=NUMBERS)
    def interrupt(self, session: str, incarnation: str, n: int) -> None:
        self.agent.interrupt(n, session, incarnation)
        self._told()

    @rule(session=SESSIONS, incarnation=INCARNATIONS, n=NUMBERS)
    def data(self, session: str, incarnation: str, n: int) -> None:
        self.agent.hear(Data(session=session, incarnation=incarnation, n=n, offset=0, size=10, data=b"0123456789"))
        self._told()

    @rule(session=SESSIONS, answer=st.sampled_from(["refuse claim", "refuse resume", "later", "hold"]))
    def answer(self, session: str, answer: str) -> None:
        if answer.startswith("refuse"):
            self.agent.refuse(answer.split()[1], session)
        else:
            getattr(self.agent, answer)(session)
        self._told()

    @rule(session=SESSIONS, incarnation=INCARNATIONS)
    def release(self, session: str, incarnation: str) -> None:
        self.agent.release(session, incarnation)
        self._told()

    @rule(master=st.sampled_from(["m", "n"]), incarnation=INCARNATIONS, roll=st.booleans())
    def broadcast(self, master: str, incarnation: str, roll: bool) -> None:
        (self.agent.roll_call if roll else self.agent.alive)(master, incarnation)
        self._told()

    # ---- the end

    def teardown(self) -> None:
        """Every delivery is answered in the end, and an agent that is stopped exits."""
        if not hasattr(self, "agent"):
            return
        self.agent.tell(inputs.Stop())
        assert self.agent.watch.exited
        assert not self.agent.watch.deliveries, "a delivery was never answered"
        assert self.agent.watch.open <= self.agent.watch.aside, "a session was left behind"


AnyInputs.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,  # two cores, shared: speed is measured elsewhere
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    database=None,
    derandomize=True,
)
TestAnyInputs = AnyInputs.TestCase
