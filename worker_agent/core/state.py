"""What all parts of the agent's machine share: the link, the sessions, and the list of actions under construction."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Union

from contracts.machines.exhaustive import assert_never
from contracts.messages import Accept, Claim, Event, Gone, Pull, Resume
from contracts.timing import CLAIM_TIMEOUT, DIRECT_MAX, EVENT_RESEND, RESUME_BACKOFF_MAX, SILENCE_BEFORE_RESUME
from worker_agent.core.actions import (
    Ack,
    Action,
    Alarm,
    CancelConsumers,
    CloseSession,
    Contact,
    ForgetSeal,
    GiveBack,
    MasterSilent,
    Park,
    Persist,
    Publish,
    Report,
)
from worker_agent.core.availability import Availability, Order
from worker_agent.core.config import AgentConfig
from worker_agent.core.ended import EndedSession, EndedSessions, Reason
from worker_agent.core.fitness import Fitness
from worker_agent.core.inputs import LinkUp
from worker_agent.core.journal import JournalReader
from worker_agent.core.masters import MasterId, Masters
from worker_agent.core.session import KeeperState, Phase, Session

#: What becomes of the offer when its session ends.
Settle = Literal["ack", "park", "give back"]
#: What a publication's token stands for.
Token = tuple[Literal["claim", "event", "gone"], str]
#: What a master is told of a session.
Said = Union[Accept, Event, Gone, Pull, Resume]


@dataclass(kw_only=True)
class AgentState:
    """All that the agent's core remembers, and the actions of the input that is handled now."""

    config: AgentConfig
    journal: JournalReader
    new_id: Callable[[], str]
    link: LinkUp | None = None
    link_since: float = 0.0
    #: by session id, in the order of their claims
    sessions: dict[str, Session] = field(default_factory=dict)
    masters: Masters = field(default_factory=Masters)
    ended_sessions: EndedSessions = field(default_factory=EndedSessions)
    actions: list[Action] = field(default_factory=list)
    fitness: Fitness = field(default_factory=Fitness)
    order: Order = Order.WORK
    #: an operator's pause lasts: why, for people
    pause: str | None = None
    #: the `cap.*` queues that exist and that this agent qualifies for
    queues: frozenset[str] = frozenset()
    #: those that are consumed at the moment
    consumed: frozenset[str] = frozenset()
    #: the queue whose offer was claimed last: it comes last in the next round
    served: str = ""
    tokens: dict[int, Token] = field(default_factory=dict)
    #: masters that the log has named, since this agent cannot seal and so leaves their offers to others (rule 24)
    cannot_seal: set[MasterId] = field(default_factory=set)
    last_token: int = 0
    #: the machine's time of the input that is handled
    now: float = 0.0
    #: told of each cue: the session, its phase before, and the cue's class; for tests
    watch: Callable[[Session, Phase, type], None] = lambda session, before, cue: None

    @property
    def in_slots(self) -> list[Session]:
        """The sessions that take a slot, one for builds or one for operators."""
        return [session for session in self.sessions.values() if session.takes_slot]

    @property
    def builds(self) -> list[Session]:
        """Those of them that take one of the `slots`."""
        return [session for session in self.in_slots if not session.is_direct]

    def availability(self) -> Availability:
        """Whether new work is taken now, and why not."""
        return Availability(
            order=self.order,
            pause=self.pause,
            unwell=self.fitness.unwell,
            keepers_fail=self.fitness.paused_until is not None,
            linked=self.link is not None,
            qualifies=bool(self.queues),
            claiming=any(session.is_pending for session in self.builds),
            taken=len(self.builds),
            slots=self.config.slots,
        )

    def free_slot(self) -> int | None:
        """The first one; None where as many are taken as may be, those of a larger `slots` of before included."""
        used = {session.slot for session in self.in_slots}
        if len(self.builds) >= self.config.slots:
            return None
        return next((slot for slot in range(self.config.slots) if slot not in used), None)

    def direct_slot(self) -> int | None:
        """One more than builds have, for an operator (rule 26); None where as many are taken as may be."""
        if len(self.in_slots) - len(self.builds) >= DIRECT_MAX:
            return None
        used = {session.slot for session in self.in_slots}
        return next(slot for slot in itertools.count(self.config.slots) if slot not in used)

    def do(self, action: Action) -> None:
        """One more action of the input that is being handled."""
        self.actions.append(action)

    def token(self, kind: Literal["claim", "event", "gone"], session: str) -> int:
        """A number for a publication, by which its confirm is recognised."""
        self.last_token += 1
        self.tokens[self.last_token] = (kind, session)
        return self.last_token

    # ---- consumers and deliveries

    def cancel_consumers(self) -> None:
        """Take no offers, from now on."""
        if self.consumed:
            self.consumed = frozenset()
            self.do(CancelConsumers())

    def settle(self, delivery: int | None, how: Settle) -> None:
        """Answer a delivery, if there is one to answer. A nack comes after the cancel (rule 20)."""
        if delivery is None or self.link is None:
            return
        if how == "ack":
            self.do(Ack(delivery=delivery))
        elif how == "park":
            self.do(Park(delivery=delivery))
        elif how == "give back":
            self.cancel_consumers()
            self.do(GiveBack(delivery=delivery))
        else:
            assert_never(how)

    # ---- sessions

    def persist(self, session: Session) -> None:
        """Have `meta.json` written before what follows."""
        self.do(Persist(meta=session.meta()))

    def end(self, session: Session, settle: Settle, reason: Reason, detail: str = "", *, tell: bool = False) -> None:
        """The session is over: kill, clean up, answer its offer; with `tell` its bridge learns it unasked."""
        self.sessions.pop(session.id, None)
        phase, session.phase = session.phase, Phase.ABSENT
        if phase is Phase.HELD and session.offer.kind == "build":
            commands = sum(command.started for command in session.commands.values())
            seconds = round(self.now - session.since, 3)
            self.report(
                "build_ended", session, commands=commands, seconds=seconds, reason=reason, detail=detail or None
            )
        if session.keeper is not KeeperState.NONE:
            self.do(CloseSession(session=session.id))
        if session.offer.seal:
            self.do(ForgetSeal(session=session.id))
        if phase is not Phase.CHECKING:  # of which nobody was told
            self.note_ended(session, reason, detail, tell=tell)
        self.settle(session.delivery, settle)
        session.delivery = None

    def note_ended(self, session: Session, reason: Reason, detail: str, *, tell: bool) -> None:
        """Remember it, for whoever asks; `tell`: say `gone` to its master now."""
        ended = EndedSession(
            session=session.id,
            master=session.master,
            request=session.offer.request,
            reason=reason,
            detail=detail,
            ticket=session.ticket,
            owed=tell,
        )
        self.ended_sessions.add(ended)
        if tell:
            self.say_gone(ended)

    def report(
        self, event: Literal["build", "build_ended", "command", "command_ended"], session: Session, **fields: Any
    ) -> None:
        """For the log: what the agent does for whom."""
        self.do(Report(event=event, session=session.id, offer=session.offer, fields=fields))

    def alarm(self, event: str, detail: str, session: Session | None = None) -> None:
        """For the log: what an operator should look at. `event` is the log event's name."""
        self.do(Alarm(event=event, detail=detail, session=session.id if session else None))

    # ---- what is said

    def publish(self, message: Said, master: str, to: Literal["claims", "events"], token: int | None = None) -> None:
        """To the master's queue of that name; `token`: its confirm is waited for."""
        session = self.sessions.get(message.session)
        sealed = session is not None and session.offer.seal
        self.do(Publish(message=message, master=master, to=to, token=token, sealed=sealed))

    def claimant(self, session: Session) -> dict[str, Any]:
        """The fields of `contracts.messages.Claimant`. Only while the link is up."""
        assert self.link is not None, "claims need an address"
        return {
            "session": session.id,
            "offer": session.offer.offer,
            "request": session.offer.request,
            "master": session.master,
            "run": session.run,
            "instance": self.config.instance,
            "agent": self.config.agent,
            "epoch": self.link.epoch,
            "address": self.link.address,
            "ticket": session.ticket,
        }

    def say_claim(self, session: Session, now: float) -> None:
        """Publish the claim, with its expiration (rule 19)."""
        token = self.token("claim", session.id)
        claim = Claim(
            **self.claimant(session),
            kind=session.offer.kind,
            capabilities=self.config.capabilities(),
            worker=self.config.worker_info(session.folder, session.slot),
        )
        sealed, master = session.offer.seal, session.master
        self.do(Publish(message=claim, master=master, to="claims", token=token, expires=CLAIM_TIMEOUT, sealed=sealed))
        session.claim_unconfirmed = True
        session.answer_due = now + CLAIM_TIMEOUT

    def say_resume(self, session: Session, now: float) -> None:
        """Publish a resume, and prepare the next one (rule 9)."""
        if self.link is None:
            return
        resume = Resume(
            **self.claimant(session),
            kind=session.offer.kind,
            capabilities=self.config.capabilities(),
            worker=self.config.worker_info(session.folder, session.slot),
            commands=session.executing(),
        )
        self.publish(resume, session.master, "claims")
        session.unopened = False
        session.resume_due = now + session.resume_delay
        session.resume_delay = min(2 * session.resume_delay, RESUME_BACKOFF_MAX)

    def say_gone(self, ended: EndedSession) -> None:
        """Without a link nothing is said: the master asks at the next one."""
        if self.link is None:
            return
        gone = Gone(
            session=ended.session,
            request=ended.request,
            master=ended.master,
            epoch=self.link.epoch,
            address=self.link.address,
            reason=ended.reason,
            detail=ended.detail,
            ticket=ended.ticket,
        )
        token = self.token("gone", ended.session) if ended.owed else None
        self.publish(gone, ended.master, "claims", token)

    def say_pull(self, session: Session, n: int, now: float) -> None:
        """Ask for the bytes that command `n` waits for, if its bridge has started it; again after 5 s."""
        wanted, _ = session.pulls[n]
        session.pulls[n] = (wanted, now + EVENT_RESEND)
        if self.link is not None and n in session.followed:
            pull = Pull(session=session.id, n=n, offset=wanted.offset, length=wanted.length)
            self.publish(pull, session.master, "events")

    def heard_holder(self, session: Session) -> None:
        """The bridge that holds the session said something about it."""
        session.heard(self.now)
        session.contact_at = self.now
        if session.offer.fencing is not None and session.can_run:
            self.do(Contact(session=session.id))

    def heard_master(self, master: MasterId, now: float, incarnation: str | None = None) -> None:
        """A word of the master, about whatever: it is there, so its sessions need no longer back off (rule 9).

        The first word of a new incarnation is as good as its roll call, which may have been lost on the way.
        """
        before = self.masters.incarnation(master)
        restarted = incarnation is not None and before is not None and incarnation != before
        for session in self.sessions.values():
            if session.owner == master and session.is_resumed:
                session.resume_delay = SILENCE_BEFORE_RESUME
                session.resume_due = now if restarted else min(session.resume_due, now + SILENCE_BEFORE_RESUME)
        if self.masters.heard(master, now, incarnation):
            self.do(MasterSilent(master=master.name, silent=False))

    def master_silent(self, master: MasterId) -> None:
        """Its sessions say nothing until it is heard again."""
        if self.masters.mark_silent(master):
            self.do(MasterSilent(master=master.name, silent=True))
