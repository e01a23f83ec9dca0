"""Whatever comes, in whatever order: the machine never raises, and keeps the promises that `Watch` checks."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from contracts.messages import Data, Event, Offer
from tests.generated import examples
from worker_agent.core import actions, inputs

from .harness import OPENED_AT, QUEUES, Agent, command, direct_offer, offer

#: 0 to 8: one of the sessions that are there; 9: one that is not
SESSIONS = st.integers(0, 9)
#: None: the incarnation that granted the session last
INCARNATIONS = st.sampled_from([None, None, None, None, "I1", "I2"])
#: for what would end the play if it came often
SELDOM = st.sampled_from([False] * 11 + [True])
NUMBERS = st.integers(1, 3)


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    kind = draw(st.sampled_from(["build", "command"]))
    return offer(
        f"o{draw(st.integers(1, 5))}",
        request=f"br-{draw(st.integers(1, 4))}",
        master=draw(st.sampled_from(["m", "m", "n"])),
        kind=kind,
        ask=draw(st.booleans()),
        published=OPENED_AT + draw(st.sampled_from([100, -300])),
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
        self.agent.alive()

    def _pick(self, index: int, incarnation: str | None = None) -> tuple[str, str, str]:
        """(session, incarnation, master): mostly of what is there. Chooses what to say, checks nothing."""
        sessions = list(self.agent.machine._state.sessions.values())
        if index == 9 or not sessions:
            return "s1", incarnation or "I1", "m"
        session = sessions[index % len(sessions)]
        return session.id, incarnation or session.incarnation or "I1", session.master

    def _told(self) -> None:
        """After each rule: collect what may be answered later, let removed journals go."""
        for action in self.agent.did:
            if isinstance(action, actions.Publish) and action.token is not None:
                self.open_tokens.append(action.token)
            elif isinstance(action, actions.CloseSession) and not action.keep_journal:
                self.agent.journal.remove(action.session)

    # ---- link and broker

    @rule(seldom=SELDOM)
    def another_link(self, seldom: bool) -> None:
        """Up, without a word that the former one is down."""
        if seldom:
            self.open_tokens.clear()
            self.agent.link_up()
            self._told()

    @rule(seconds=st.sampled_from([0.0, 3.0, 30.0]), meanwhile=st.booleans())
    def link_down(self, seconds: float, meanwhile: bool) -> None:
        self.agent.link_down()
        self.open_tokens.clear()
        self._told()
        if meanwhile:
            self.writes_something(-1, 10, 3)
        self.agent.wait(seconds)
        self._told()
        self.agent.link_up()
        self._told()

    @rule(what=offers(), redelivered=st.booleans(), deaths=st.sampled_from([0, 0, 2]), checked=st.booleans())
    def offered(self, what: Offer, redelivered: bool, deaths: int, checked: bool = True) -> None:
        """`checked`: the machine says at once that it is able."""
        deliver = self.agent.offer if checked else self.agent.deliver
        self.known_deliveries.append(deliver(what, redelivered=redelivered, deaths=deaths))
        self._told()

    @rule(number=st.integers(6, 12), user=st.sampled_from(["bridge", "bridge", "another"]), seal=SELDOM)
    def told_by_an_operator(self, number: int, user: str, seal: bool) -> None:
        """As the user that speaks for the masters on the table, so that what they say next may concern it."""
        what = direct_offer(f"o{number}", master="m", user="bridge", fencing=20.0, seal=seal)
        self.agent.hear(what, user=user)
        self._told()

    @precondition(lambda self: self.known_deliveries)
    @rule(data=st.data(), able=st.sampled_from([True, True, False, None]))
    def machine_checked(self, data: st.DataObject, able: bool | None) -> None:
        """Of the last one, or of any."""
        last = self.known_deliveries[-1]
        delivery = data.draw(st.sampled_from([last, last, *self.known_deliveries]))
        self.agent.tell(inputs.MachineChecked(delivery=delivery, able=able))
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
            self.agent.tell(inputs.Confirmed(token=token) if taken else inputs.Refused(token=token, returned=True))
            self._told()

    @rule(token=st.integers(0, 50))
    def a_token_that_may_be_stale(self, token: int) -> None:
        self.agent.tell(inputs.Refused(token=token))
        self._told()

    @rule(queues=st.sampled_from([QUEUES, frozenset({"cap.new"})]), none=SELDOM)
    def queues_known(self, queues: frozenset[str], none: bool) -> None:
        self.agent.tell(inputs.QueuesKnown(queues=frozenset() if none else queues))
        self._told()

    # ---- people and the machine

    @rule(unwell=SELDOM)
    def wellness(self, unwell: bool) -> None:
        self.agent.tell(inputs.Wellness(reasons=("disk full",) if unwell else ()))
        self._told()

    @rule(seldom=SELDOM, resume=st.booleans())
    def drain(self, seldom: bool, resume: bool) -> None:
        if seldom or resume:
            self.agent.tell(inputs.ResumeWork() if resume else inputs.Leave())
            self._told()

    @rule(seldom=SELDOM)
    def park(self, seldom: bool) -> None:
        if seldom:
            self.agent.tell(inputs.Pause())
            self._told()

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 6.0, 12.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.agent.wait(seconds)
        self._told()

    # ---- keepers

    @rule(data=st.data(), size=st.sampled_from([0, 10, 100_000, 262_144]), many=st.sampled_from([1, 3, 70]))
    def writes(self, data: st.DataObject, size: int, many: int) -> None:
        self.writes_something(data.draw(st.integers(0, 11)), size, many)

    def writes_something(self, choice: int, size: int, many: int) -> None:
        """A command that runs says something (choice below 6) or completes."""
        journal, running = self.agent.journal, []
        for session, n in sorted(self.agent.watch.run):
            events = [event for event in journal.events.get(session, []) if event.n == n]
            alive = session in self.agent.watch.open - self.agent.watch.aside
            if alive and not any(event.kind == "completed" for event in events):
                running.append((session, n, bool(events)))
        if not running:
            return
        session, n, started = running[choice % len(running)]
        if not started:
            self.agent.write((n, "started"), session=session)
        elif choice < 6:
            for _ in range(many):
                seq = journal.last_seq(session) + 1
                journal.append(Event(session=session, seq=seq, n=n, kind="stdout", data=bytes(size)))
            self.agent.tell(inputs.Journalled(session=session, seq=journal.last_seq(session)))
        else:
            self.agent.write((n, "completed"), session=session, interrupted="Stop" if choice == 11 else None)
        self._told()

    @rule(index=SESSIONS, seq=st.integers(1, 5))
    def journalled_without_a_word(self, index: int, seq: int) -> None:
        session, _, _ = self._pick(index)
        self.agent.tell(inputs.Journalled(session=session, seq=min(seq, self.agent.journal.last_seq(session))))
        self._told()

    @rule(index=SESSIONS, seldom=SELDOM)
    def keeper_lost(self, index: int, seldom: bool) -> None:
        session, _, _ = self._pick(index)
        if seldom:
            self.agent.tell(inputs.KeeperLost(session=session, reason="killed by signal 9"))
            self._told()

    @rule(index=SESSIONS, n=NUMBERS)
    def pull_wanted(self, index: int, n: int) -> None:
        session, _, _ = self._pick(index)
        self.agent.tell(inputs.PullWanted(session=session, n=n, offset=0, length=10))
        self._told()

    # ---- bridges

    @rule(index=SESSIONS, incarnation=INCARNATIONS, stored=st.sampled_from([0, 0.5, 1]))
    def grant(self, index: int, incarnation: str | None, stored: float) -> None:
        session, incarnation, master = self._pick(index, incarnation)
        self.agent.grant(session, incarnation, int(stored * self.agent.watch.published.get(session, 0)), master=master)
        self._told()

    @rule(
        index=SESSIONS,
        incarnation=INCARNATIONS,
        stored=st.sampled_from([0, 0.3, 0.6, 1]),
        how=st.sampled_from(["ping", "stored", "replay"]),
    )
    def borders(self, index: int, incarnation: str | None, stored: float, how: str) -> None:
        session, incarnation, _ = self._pick(index, incarnation)
        published = self.agent.watch.published.get(session, 0)
        getattr(self.agent, how)(int(stored * published), session, incarnation)
        self._told()

    @rule(index=SESSIONS, seldom=SELDOM)
    def stored_more_than_there_is(self, index: int, seldom: bool) -> None:
        session, incarnation, _ = self._pick(index)
        if seldom:
            self.agent.ping(self.agent.journal.last_seq(session) + 5, session, incarnation)
            self._told()

    @rule(index=SESSIONS, incarnation=INCARNATIONS, n=NUMBERS, changed=SELDOM)
    def start(self, index: int, incarnation: str | None, n: int, changed: bool) -> None:
        session, incarnation, _ = self._pick(index, incarnation)
        self.agent.start(n, "other" if changed else "d", session, incarnation)
        self._told()

    @rule(index=SESSIONS, incarnation=INCARNATIONS, n=NUMBERS)
    def interrupt(self, index: int, incarnation: str | None, n: int) -> None:
        session, incarnation, _ = self._pick(index, incarnation)
        self.agent.interrupt(n, session, incarnation)
        self._told()

    @rule(index=SESSIONS, incarnation=INCARNATIONS, n=NUMBERS)
    def bulk_data(self, index: int, incarnation: str | None, n: int) -> None:
        session, incarnation, _ = self._pick(index, incarnation)
        self.agent.hear(Data(session=session, incarnation=incarnation, n=n, offset=0, size=10, data=b"0123456789"))
        self._told()

    @rule(index=SESSIONS, answer=st.sampled_from(["claim", "claim", "later", "hold", "resume"]), seldom=SELDOM)
    def answer(self, index: int, answer: str, seldom: bool) -> None:
        session, _, master = self._pick(index)
        if answer == "resume" and not seldom:
            return
        if answer in ("claim", "resume"):
            self.agent.refuse(answer, session, master)
        else:
            getattr(self.agent, answer)(session)
        self._told()

    @rule(index=SESSIONS, incarnation=INCARNATIONS, seldom=st.sampled_from([False, False, True]))
    def release(self, index: int, incarnation: str | None, seldom: bool) -> None:
        session, incarnation, _ = self._pick(index, incarnation)
        if seldom:
            self.agent.release(session, incarnation)
            self._told()

    @rule(master=st.sampled_from(["m", "n"]), incarnation=st.sampled_from(["I1", "I1", "I2"]), roll=st.booleans())
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
    max_examples=examples(200),
    stateful_step_count=80,
    deadline=None,  # two cores, shared: speed is measured elsewhere
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    database=None,
    derandomize=True,
)
TestAnyInputs = AnyInputs.TestCase
