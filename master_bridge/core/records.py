"""What the bridge knows of a session and of a build request that looks for an agent or has one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from contracts.messages import Accept, Capability, Claim, Command, Executing, Gone, Resume, WorkerInfo
from contracts.trust.tickets import Proof
from master_bridge.core.actions import Holder, Terms
from master_bridge.core.events import EventOrder
from master_bridge.core.inputs import Seek
from master_bridge.core.states import ATTACHED, MISSING, OnRoll, State


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A claim, resume or accept with a right ticket (rule 21), of a sender who may send messages about its session."""

    message: Claim | Resume | Accept
    #: `key_word` of the broker user that published it
    user: str
    delivery: int
    proof: Proof
    #: bytes of its body
    size: int


@dataclass
class Rival:
    """Another address that names a session in messages: an old connection, or a cloned state folder (rule 2)."""

    address: str
    #: number of the marker that must be back before the address is asked whether it lives; None: it was asked
    marker: int | None


@dataclass
class Session:
    """A session of an agent's: granted, or noted because its agent resumed it before Buildbot asked for it."""

    session: str
    request: str
    run: int
    instance: str
    agent: str
    #: `key_word` of the broker user that it belongs to; nobody else may send messages in its name
    user: str
    epoch: int
    address: str
    #: monotonic seconds when it was first heard of
    since: float
    #: it came as a resume or an old accept: commands may have been executed in it
    resumed: bool
    #: what its ticket proved last (rule 21), or the grant that it was given here
    proof: Proof
    capabilities: tuple[Capability, ...] = ()
    #: None: known only from an accept of an earlier incarnation, so the agent must be asked to resume it
    worker: WorkerInfo | None = None
    executing: tuple[Executing, ...] = ()
    #: rule 24: its public key; None: its agent does not seal it
    key: str | None = None
    #: those of its last grant here; None: it has no seal
    terms: Terms | None = None
    #: rule 11: its latest claim, resume or accept, unacknowledged
    delivery: int | None = None
    #: that delivery is a claim, which a resume or an accept of the same epoch outranks
    delivery_is_claim: bool = False

    #: on the roll of those that nobody has asked for (rollcall.py)
    on_roll: OnRoll = OnRoll.ABSENT

    #: when it was granted here, seconds since the epoch
    given: float = 0.0
    #: the same of its first grant, by this incarnation or, as its ticket told, an earlier one
    begun: float = 0.0
    #: bytes that it makes this process remember, of its last claim or resume (rule 23)
    size: int = 0
    #: from when on its agent is silent, as its last status says, on the link's own clock; None: none was heard yet
    silent_from: float | None = None
    #: rule 10: the address that was granted last and on which of our links that was first, and on which of them it
    #: accepted a grant that was first made on that link: its agent was there after the link came up
    first_grant: tuple[str, int] | None = None
    seen_on: int = 0
    #: rules 9, 10: since when its agent is missing (`Presence` may count from before the first ping came back), on the
    #: link's own clock; None: it is present
    missing: float | None = None
    #: rule 10: missing, and it cannot come back
    died: bool = False
    #: the marker that must be back before it is given up
    marker: int | None = None
    rival: Rival | None = None
    #: the agent says from elsewhere that it is gone; believed unless the address that we know answers
    suspect: Gone | None = None
    #: addresses of cloned state folders
    clones: set[str] = field(default_factory=set)

    order: EventOrder = field(default_factory=EventOrder)
    #: commands that Buildbot has started in it, by number
    commands: dict[int, Command] = field(default_factory=dict)
    completed: set[int] = field(default_factory=set)
    #: number -> reason of the interrupts that we asked for
    interrupts: dict[int, str] = field(default_factory=dict)

    @property
    def holder(self) -> Holder:
        assert self.worker is not None
        return Holder(
            session=self.session,
            agent=self.agent,
            instance=self.instance,
            address=self.address,
            capabilities=self.capabilities,
            worker=self.worker,
            since=self.begun,
        )

    @property
    def executes(self) -> bool:
        """Its agent runs a command that nobody here has started, as its resume says."""
        return any(not command.completed for command in self.executing)

    def learn(self, verified: Verified) -> None:
        """Take over what a claim or resume tells of the agent."""
        message = verified.message
        self.run, self.proof, self.size = message.run, verified.proof, verified.size
        if isinstance(message, (Claim, Resume)):
            self.capabilities = message.capabilities
            self.worker = message.worker
            self.key = message.key
        if isinstance(message, Resume):
            self.executing = message.commands

    def detach(self, *, attached: bool) -> None:
        """Back to what it was before Buildbot had it (`attached`: it had); the next attachment begins with event 1."""
        if attached:
            self.executing = tuple(
                Executing(n=n, digest=command.digest, completed=n in self.completed)
                for n, command in self.commands.items()
            )
        self.missing = self.marker = self.rival = self.suspect = None
        self.died = False
        self.resumed = True
        self.order = EventOrder(replay_after=self.order.replay_after)
        self.commands, self.completed, self.interrupts = {}, set(), {}


def session_of(verified: Verified, *, now: float) -> Session:
    message = verified.message
    session = Session(
        session=message.session,
        request=message.request,
        run=message.run,
        instance=message.instance,
        agent=message.agent,
        user=verified.user,
        epoch=message.epoch,
        address=message.address,
        since=now,
        resumed=not isinstance(message, Claim),
        proof=verified.proof,
    )
    session.learn(verified)
    return session


@dataclass
class WorkUnit:
    """What Buildbot wants an agent for: the build of one request, or the command of one step."""

    seek: Seek
    state: State
    #: monotonic seconds when Buildbot asked
    since: float
    #: ids of the offers published with the signature that counts now, newest last
    offers: list[str] = field(default_factory=list)
    session: Session | None = None
    #: claims that wait for the end of the roll call, by session, the oldest first (`Placing.collect`)
    collected: dict[str, Verified] = field(default_factory=dict)
    #: names of the agents whose claims had no key, and that were told of
    keyless: set[str] = field(default_factory=set)
    #: what was last told by `StateChanged`
    told: str = ""

    @property
    def request(self) -> str:
        return self.seek.request

    @property
    def granted(self) -> Session:
        """Its session, in a state that has one."""
        assert self.session is not None
        return self.session

    @property
    def attached(self) -> bool:
        """Buildbot has its session."""
        return self.state in ATTACHED

    @property
    def missing(self) -> bool:
        """The agent of its session does not answer."""
        return self.state in MISSING

    @property
    def running(self) -> bool:
        """A command was started in its session and has not completed, as far as is known here."""
        if self.session is None:
            return False
        if self.attached:
            return any(n not in self.session.completed for n in self.session.commands)
        return self.session.executes


@dataclass(frozen=True, kw_only=True)
class RequestView:
    """A request or an unasked session, for the fleet view, metrics and waiting messages."""

    request: str
    #: "unasked": an agent holds a session of this request and Buildbot has not asked for it (yet)
    state: Literal["none", "window", "waiting", "granted", "held", "missing", "unasked"]
    #: monotonic seconds
    since: float
    run: int
    kind: Literal["build", "command"] | None = None
    signature: str = ""
    title: str = ""
    #: as its `Seek` has them
    builder: str = ""
    priority: int = 0
    #: offers published with the current signature
    offers: int = 0
    #: sessions lost with a command running (rule 20)
    lives: int = 0
    session: str | None = None
    agent: str | None = None
    instance: str | None = None
    address: str | None = None
    #: events that Buildbot has stored, and that it was given
    stored: int = 0
    delivered: int = 0


def view_of(work: WorkUnit, lives: int) -> RequestView:
    """Of a request that Buildbot has asked for."""
    seek, session = work.seek, work.session
    return RequestView(
        request=work.request,
        state=work.state.view,
        since=work.since,
        run=seek.run,
        kind=seek.kind,
        signature=seek.signature,
        title=seek.title,
        builder=seek.builder,
        priority=seek.priority,
        offers=len(work.offers),
        lives=lives,
        session=session.session if session else None,
        agent=session.agent if session else None,
        instance=session.instance if session else None,
        address=session.address if session else None,
        stored=session.order.stored if session else 0,
        delivered=session.order.delivered if session else 0,
    )


def unasked(session: Session, lives: int) -> RequestView:
    """Of a session that nobody has asked for."""
    return RequestView(
        request=session.request,
        state="unasked",
        since=session.since,
        run=session.run,
        lives=lives,
        session=session.session,
        agent=session.agent,
        instance=session.instance,
        address=session.address,
    )
