"""One session: what the agent knows of an offer from its claim to its release."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from contracts.messages import Command, Event, Executing, Offer
from contracts.timing import SILENCE_BEFORE_RESUME
from worker_agent.core.inputs import PullWanted, SessionMeta
from worker_agent.core.masters import MasterId
from worker_agent.core.window import EventWindow


class Phase(Enum):
    """Where a session stands; what leads from one to the next is in `transitions`."""

    #: not begun, or over: what comes for it is answered `gone`
    ABSENT = "absent"
    #: an offer is in hand, and its machine is looked at: nothing was said to anybody yet
    CHECKING = "checking"
    #: claimed, nothing executed, the answer is awaited
    CLAIMING = "claiming"
    #: rule 15: the claim of a first delivery is published, not confirmed yet
    CONFIRMING = "confirming"
    #: rule 15: confirmed; a grant is awaited for at most 1 s
    AWAITING = "awaiting"
    #: granted, or commands were executed
    HELD = "held"
    #: rule 17: finished; offer acknowledged, slot free, events kept
    ASIDE = "aside"


#: A claim: nothing was executed, nothing granted.
PENDING = (Phase.CHECKING, Phase.CLAIMING, Phase.CONFIRMING, Phase.AWAITING)
#: Told to the bridge by resumes.
RESUMED = (Phase.HELD, Phase.ASIDE)


class Stage(Enum):
    """How far a command is."""

    #: a command of the offer whose turn has not come
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"


class KeeperState(Enum):
    """What a session has of a keeper."""

    #: neither folder nor keeper was asked for
    NONE = "none"
    #: commands can run
    ALIVE = "alive"
    #: it has ended; folder and journal are there
    ENDED = "ended"


@dataclass(kw_only=True)
class CommandState:
    """A command that the session knows."""

    digest: str
    #: what to run, while it waits
    command: Command | None = None
    stage: Stage = Stage.WAITING
    #: why it was interrupted, where it was
    interrupted: str | None = None
    #: for the log
    name: str = ""
    step: str = ""
    exit_code: int | None = None
    #: seconds that it took, as its keeper says
    elapsed: float | None = None

    @property
    def started(self) -> bool:
        """The keeper has it, or had it."""
        return self.stage is not Stage.WAITING

    @property
    def running(self) -> bool:
        """The keeper has it, and has not said how it ended."""
        return self.stage is Stage.RUNNING

    @property
    def completed(self) -> bool:
        """Its completion is journalled."""
        return self.stage is Stage.COMPLETED

    def note(self, key: Any, value: Any) -> None:
        """What an update says."""
        if key == "rc" and isinstance(value, int):
            self.exit_code = value
        elif key == "elapsed" and isinstance(value, (int, float)):
            self.elapsed = float(value)


@dataclass(kw_only=True)
class Session:
    """One offer's stay on this agent. Made for each offer; it has an id and a slot when it is taken up."""

    id: str = ""
    offer: Offer
    slot: int = -1
    phase: Phase = Phase.ABSENT
    #: since when it is in its phase
    since: float
    window: EventWindow
    #: the offer as an unacknowledged delivery; None: the broker took it back, or the link is down
    delivery: int | None = None
    #: rule 15: it may run before a grant
    first_delivery: bool = False
    #: the broker has not taken charge of its claim yet
    claim_unconfirmed: bool = False
    #: rule 19: when the claim counts as unanswered
    answer_due: float | None = None
    #: rule 15: when to run without a grant
    run_due: float | None = None
    keeper: KeeperState = KeeperState.NONE
    #: Buildbot's build id of the last grant
    run: int = 0
    #: rule 21: what the session shows; that of its last grant, before one its offer's
    ticket: str
    #: a bridge has granted it, at any time
    granted: bool = False
    #: rule 3: the incarnation of the last grant to this process
    incarnation: str | None = None
    #: the master's incarnation that was heard when the session was claimed
    claimed_from: str | None = None
    #: the gate: commands whose events `incarnation` may be told
    followed: set[int] = field(default_factory=set)
    commands: dict[int, CommandState] = field(default_factory=dict)
    #: rule 14: interrupts of commands that have not started
    interrupts: dict[int, str] = field(default_factory=dict)
    #: the keeper has written events up to here (`window.last`: of these were read)
    journalled: int = 0
    #: when the bridge said something about this session
    heard_at: float
    #: strict fencing: when that was a word that holds the session
    contact_at: float
    resume_due: float
    resume_delay: float = SILENCE_BEFORE_RESUME
    #: rule 24: something could not be opened since the last resume, which is due whatever else is heard
    unopened: bool = False
    #: all commands of a command offer are completed
    finished_at: float | None = None
    #: n -> bytes that a download waits for, and when to ask again
    pulls: dict[int, tuple[PullWanted, float]] = field(default_factory=dict)

    @property
    def master(self) -> str:
        """The name of the master whose offer it is."""
        return self.offer.master

    @property
    def owner(self) -> MasterId:
        """Its master, and that master's broker user: nobody else may send messages about it (rule 22)."""
        return owner_of(self.offer)

    @property
    def folder(self) -> str:
        """Below the agent's base directory, where its slot has its folder."""
        return folder_of(self.offer)

    @property
    def is_direct(self) -> bool:
        """An operator's (rule 26): beside all builds, and none of the slots is for it."""
        return self.offer.direct

    @property
    def takes_slot(self) -> bool:
        """It counts towards `--slots`."""
        return self.phase is not Phase.ASIDE

    @property
    def is_pending(self) -> bool:
        """It waits for its master's answer to a claim."""
        return self.phase in PENDING

    @property
    def is_resumed(self) -> bool:
        """It is of a link before, and its master is asked about it."""
        return self.phase in RESUMED

    @property
    def can_run(self) -> bool:
        """Its keeper lives."""
        return self.keeper is KeeperState.ALIVE

    @property
    def executed(self) -> bool:
        """A command was started in it: it must not be run elsewhere without a word."""
        return any(command.started for command in self.commands.values())

    def is_offer(self, offer: Offer) -> bool:
        """`offer` is the very offer that this session claimed."""
        return offer.offer == self.offer.offer and offer.master == self.offer.master

    def misses(self, offer: Offer) -> bool:
        """`offer` is the one that this session claimed, and the broker has taken its delivery back."""
        return self.is_offer(offer) and self.delivery is None and self.takes_slot

    def serves(self, offer: Offer) -> bool:
        """`offer` asks for the work that this session does (rule 8)."""
        return self.is_offer(offer) or (offer.master == self.master and offer.request == self.offer.request)

    def may_publish(self, n: int) -> bool:
        """The gate: before any grant all goes out, afterwards what the granting incarnation has started."""
        return n in self.followed or not self.granted

    def heard(self, now: float) -> None:
        """Its bridge spoke: resumes start over from 8 s (rule 9)."""
        self.answer_due = None
        self.heard_at = now
        self.resume_delay = SILENCE_BEFORE_RESUME
        if not self.unopened:
            self.resume_due = now + SILENCE_BEFORE_RESUME

    def lose_link(self) -> None:
        """Its delivery and what was not confirmed are void, and nobody will answer."""
        self.delivery = None
        self.answer_due = None
        self.window.link_lost()

    def keeper_ended(self) -> None:
        """Its keeper's process is gone."""
        if self.keeper is not KeeperState.NONE:
            self.keeper = KeeperState.ENDED

    def note(self, event: Event, now: float) -> None:
        """The journal holds this event: learn what it says of its command."""
        command = self.commands.get(event.n)
        if command is None:
            value = event.value if isinstance(event.value, dict) else {}
            command = self.commands[event.n] = CommandState(digest=str(value.get("digest") or "unknown"))
        if command.stage is Stage.WAITING:
            command.stage = Stage.RUNNING
        if event.kind == "started" and isinstance(event.value, dict):
            command.name = str(event.value.get("name") or "")
        elif event.kind == "update" and isinstance(event.value, list) and len(event.value) == 2:
            command.note(*event.value)
        if event.kind == "completed":
            command.stage = Stage.COMPLETED
            command.interrupted = event.interrupted
            self.pulls.pop(event.n, None)
            if self.finished_at is None and self.has_finished:
                self.finished_at = now

    @property
    def has_finished(self) -> bool:
        """It is a command offer's session, and every command that it knows is completed."""
        if self.offer.kind != "command" or not self.commands:
            return False
        return all(command.completed for command in self.commands.values())

    def next_of_offer(self) -> CommandState | None:
        """The command of a command offer that may start now: they run one after the other."""
        if any(command.running for command in self.commands.values()):
            return None
        waiting = [n for n, command in self.commands.items() if not command.started]
        return self.commands[min(waiting)] if waiting else None

    def interrupted_earlier(self) -> str | None:
        """Why a command of this command offer was interrupted: those behind it are not started either."""
        if self.offer.kind != "command":
            return None
        return next((c.interrupted for c in self.commands.values() if c.interrupted is not None), None)

    def executing(self) -> tuple[Executing, ...]:
        """What a resume tells of its commands: those that were started."""
        return tuple(
            Executing(n=n, digest=command.digest, completed=command.completed)
            for n, command in sorted(self.commands.items())
            if command.started
        )

    def meta(self) -> SessionMeta:
        """What is kept of it on disk, for the agent's next process."""
        return SessionMeta(
            session=self.id,
            offer=self.offer,
            slot=self.slot,
            resumes=self.is_resumed,
            aside=self.phase is Phase.ASIDE,
            granted=self.granted,
            run=self.run,
            ticket=self.ticket,
        )


#: Where operators' sessions have their folders: no master is called so. One program comes once, so they share it.
OPERATORS_FOLDER = ".operators"


def folder_of(offer: Offer) -> str:
    """A master's builds are in a folder of its name."""
    return OPERATORS_FOLDER if offer.direct else offer.master


def new_session(offer: Offer, now: float) -> Session:
    """For an offer that nobody has taken up yet."""
    return Session(
        offer=offer,
        since=now,
        window=EventWindow(now),
        run=offer.run,
        ticket=offer.ticket,
        commands=commands_of(offer),
        heard_at=now,
        contact_at=now,
        resume_due=now,
    )


def owner_of(offer: Offer) -> MasterId:
    """Which master, as which broker user, published it."""
    return MasterId(offer.master, offer.user)


def commands_of(offer: Offer) -> dict[int, CommandState]:
    """The commands that a command offer carries, none started."""
    if offer.kind != "command":
        return {}
    return {
        command.n: CommandState(digest=command.digest, command=command, name=command.name, step=command.step)
        for command in offer.commands
    }
