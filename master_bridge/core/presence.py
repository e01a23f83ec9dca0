"""Is the holder there? Pings, grace, markers, and who of two is the real one (rules 2, 9, 10).

A missing agent comes back with an accept or resume of a newer epoch; its events prove nothing.

Rule 2. A newer epoch is believed at once. A message that comes afterwards from the older address may have been sent
before; so a marker is sent, then the older address gets a grant: an accept means that both live, on a cloned state
folder, and the newer one is refused. A `gone` from elsewhere is checked in the same way: only when the address that we
know does not answer a grant is the session lost.
"""

from __future__ import annotations

from contracts.messages import Accept, Claimant, Gone, Ping
from contracts.timing import ACCEPT_TIMEOUT, GRACE_AFTER_LINK_UP, LINK_UP_SETTLING, STATUS_LATE
from master_bridge.core.context import MARKER_RESEND, Context
from master_bridge.core.holding import Holding
from master_bridge.core.placing import Placing
from master_bridge.core.records import Rival, Session, Verified, WorkUnit
from master_bridge.core.states import COMES_BACK, GOES_MISSING, State

#: Seconds between two looks whether those have come back for whom a missing holder is waited for, too.
_OTHERS = 1.0
#: Addresses of copies that are remembered for one session (rule 23).
CLONES_MAX = 100


def given_up_at(missing: float, up: float, grace: float) -> float:
    """When a holder that is missing since `missing` is given up, with the link up since `up` (rule 10).

    All on the link's own clock, in seconds: 35 s as long as the link has not been up for 45 s, else `grace`. For
    one who has not been there since the link came up, and for all while such a one is missing.
    """
    settled = up + LINK_UP_SETTLING
    patient = missing + max(GRACE_AFTER_LINK_UP, grace)
    return patient if patient <= settled else max(missing + grace, settled)


class Presence:
    """Watches the holders of all granted sessions."""

    def __init__(self, context: Context, placing: Placing, holding: Holding) -> None:
        self._context = context
        self._placing = placing
        self._holding = holding

    # pings

    def ping(self, session: Session) -> None:
        """Rule 9. What a ping tells of `stored` need not be told again."""
        context = self._context
        context.timers.set("stored", session.session, None)
        session.order.unreported = 0
        ping = Ping(session=session.session, incarnation=context.config.incarnation, stored=session.order.stored)
        context.send(ping, session.address)

    def returned(self, work: WorkUnit, address: str) -> None:
        """Something came back from `address`: if the session is there, its agent is missing."""
        session = work.granted
        if session.address != address:
            if session.rival is not None and session.rival.address == address:
                session.rival = None  # its connection is gone: it sent that before
        elif session.suspect is not None:
            self._holding.gone(work, session, session.suspect)
        elif not work.missing:
            self._now_missing(work, session)

    def died(self, work: WorkUnit) -> None:
        """Nobody who has the session is left, so nobody is waited for (rule 10).

        Not so with strict fencing: what the agent's guard ends may take a moment. Nor for a command offer: where all
        its commands have completed, the agent that is started again brings their results, out of its journal.
        """
        session = work.granted
        self.returned(work, session.address)
        if work.missing and work.seek.kind == "build" and work.seek.fencing is None:
            session.died = True
            self._arm_grace(work, session)

    def _now_missing(self, work: WorkUnit, session: Session) -> None:
        context = self._context
        if work.state is State.GRANTED and not session.resumed and work.seek.kind == "build":
            # Nothing was executed, and an agent forgets an unanswered claim with its link: the broker has given the
            # offer to the next agent already, so waiting would only cost time (rule 5).
            self._holding.lose(work, session, f"agent {session.agent} vanished before it accepted", deadly=False)
            return
        work.state = GOES_MISSING[work.state]
        session.missing = self._silent_since(work, session)
        context.timers.set("accept", session.session, None)
        self._arm_grace(work, session)
        context.changed(work)

    def heard(self, session: Session, every: float) -> None:
        """The fleet heard its agent, whose next status comes within `every` seconds.

        It may be late news of a connection that is gone, so it ends no absence.
        """
        session.silent_from = self._context.clock + every + STATUS_LATE

    def _silent_since(self, work: WorkUnit, session: Session) -> float:
        """Since when a holder whose ping came back just now counts as missing.

        The broker takes two to three heartbeats to notice an agent that is cut off or does not answer; that silence
        counts, but for the time in which one that is well may say nothing. Not with strict fencing, whose agent kills
        what runs so long after its last contact that only the broker's word is sure.
        """
        now = self._context.clock
        if session.silent_from is None or work.seek.fencing is not None:
            return now
        return min(now, session.silent_from)

    # grace

    def _grace(self, work: WorkUnit) -> float:
        """Strict fencing: longer than the agent needs to kill what runs when it is out of contact."""
        return self._context.config.grace + (work.seek.fencing or 0.0)

    def _arm_grace(self, work: WorkUnit, session: Session) -> None:
        context = self._context
        if context.active and session.missing is not None:
            grace = self._grace(work)
            back = session.seen_on == context.links
            due = session.missing + grace if back else given_up_at(session.missing, context.up_at, grace)
            if session.died:
                due = context.clock
            context.timers.set("grace", session.session, context.now + max(due - context.clock, 0.0))

    def grace_over(self, work: WorkUnit, session: Session) -> None:
        """Not given up yet: whatever is under way to us may say that it lives (rule 10)."""
        if self._waits_with_others(work, session):
            self._context.timers.set("grace", session.session, self._context.now + _OTHERS)
            return
        session.marker = self._context.marker()
        self._context.timers.set("grace", session.session, self._context.now + MARKER_RESEND)

    def _waits_with_others(self, work: WorkUnit, session: Session) -> bool:
        """It was here since the link came up; somebody who held before that was not, so the broker's clients may still
        be reconnecting, it among them."""
        context = self._context
        if session.died:
            return False
        if session.missing is None or context.clock >= given_up_at(session.missing, context.up_at, self._grace(work)):
            return False
        return any(other.missing and other.granted.seen_on != context.links for other in self._placing.holders.values())

    def marker_back(self, work: WorkUnit, k: int) -> None:
        session = work.granted
        if session.missing is not None and session.marker is not None and session.marker <= k:
            since = self._context.clock - session.missing
            silent = f"agent {session.agent} did not answer for {since:.0f} s"
            died = f"agent {session.agent} died: its machine ended its connection, and it had said no goodbye"
            self._holding.give_up(work, session, died if session.died else silent)
        elif session.rival is not None and session.rival.marker is not None and session.rival.marker <= k:
            session.rival.marker = None
            self._placing.grant_at(work, session, session.rival.address)
            self._context.timers.set("rival", session.session, self._context.now + ACCEPT_TIMEOUT)

    def moved(self, work: WorkUnit, message: Claimant) -> None:
        """A newer epoch: it is there (again), at a new address."""
        session = work.granted
        work.state = COMES_BACK.get(work.state, work.state)
        session.epoch, session.address = message.epoch, message.address
        session.missing = session.marker = session.suspect = None
        session.died = False
        self._context.timers.set("grace", session.session, None)
        self._context.timers.set("suspect", session.session, None)

    # two addresses

    def older_spoke(self, work: WorkUnit, verified: Verified) -> None:
        """An address that a newer epoch has replaced sent a message about the session."""
        context, session, message = self._context, work.granted, verified.message
        rival = session.rival
        if rival is None:
            session.rival = Rival(address=message.address, marker=context.marker())
            context.timers.set("rival", session.session, context.now + MARKER_RESEND)
        elif (
            rival.marker is None
            and rival.address == message.address
            and isinstance(message, Accept)
            and message.incarnation == context.config.incarnation
        ):
            newer = session.address
            self._note_clone(session, newer)
            session.rival = None
            context.timers.set("rival", session.session, None)
            self._placing.refuse_at(
                session.session, newer, "its state folder is a copy: another agent holds this session"
            )
            self._cloned(work, session, newer, rival.address)
            self.moved(work, message)
            self._placing.grant(work, session)
            context.changed(work)

    def gone(self, work: WorkUnit, gone: Gone) -> None:
        """Believed where it is the address that we know that says it, or where that does not answer anyway."""
        session = work.granted
        if gone.address == session.address or work.missing:
            self._holding.gone(work, session, gone)
        elif session.suspect is None:
            self.gone_elsewhere(session.session, work, session, gone)

    def gone_elsewhere(self, session_id: str, work: WorkUnit, session: Session, gone: Gone) -> None:
        """A newer epoch says `gone`, while the address that we know may live: ask that."""
        session.suspect = gone
        self._placing.grant_at(work, session, session.address)
        self._context.timers.set("suspect", session_id, self._context.now + ACCEPT_TIMEOUT)

    def suspect_answered(self, work: WorkUnit, session: Session) -> None:
        """The address that we know answers: whoever said `gone` is the copy, and has nothing to be refused."""
        if session.suspect is not None:
            self._note_clone(session, session.suspect.address)
            self._cloned(work, session, session.suspect.address, session.address)
            session.suspect = None
            self._context.timers.set("suspect", session.session, None)

    def suspect_silent(self, work: WorkUnit) -> None:
        session = work.granted
        if session.suspect is not None:
            self._holding.gone(work, session, session.suspect)

    def rival_silent(self, session: Session) -> None:
        session.rival = None

    @staticmethod
    def _note_clone(session: Session, address: str) -> None:
        if len(session.clones) < CLONES_MAX:
            session.clones.add(address)

    def _cloned(self, work: WorkUnit, session: Session, newer: str, older: str) -> None:
        self._context.alarm(
            "cloned_state_folder",
            f"agents at {older} and {newer} both answer for session {session.session} of instance {session.instance}: "
            f"one state folder is a copy of the other's; stop the agent at {newer} and delete its state folder",
            work.request,
        )

    # link

    def pause(self, session: Session) -> None:
        """The link is down or blocked: nothing can be found out, the grace does not run."""
        session.marker = session.rival = session.suspect = None

    def resume(self, work: WorkUnit) -> None:
        """The link's clock goes (again)."""
        session = work.granted
        if work.missing:
            self._arm_grace(work, session)
        elif not work.attached:
            self._context.timers.set("accept", session.session, self._context.now + ACCEPT_TIMEOUT)
