"""A machine with a master on it: the database survives, the process (Buildbot, bridge, link) may not."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING, Any

from contracts.messages import Accept, Claim, Gone, Grant, Hold, Refuse, Release, Resume
from contracts.topology import address_user
from contracts.trust.tickets import SECRET_BYTES, Tickets
from master_bridge.core import actions, inputs
from master_bridge.core.machine import BridgeConfig, BridgeMachine
from master_bridge.link.seals import Seals
from master_bridge.post_office.actions import KeepClaim
from tests.simulation.hosts.agent_host import AGENTS, _short
from tests.simulation.hosts.both import BothPlaces
from tests.simulation.hosts.bridge_link import BridgeLink
from tests.simulation.hosts.buildbot import Buildbot, Job
from tests.simulation.hosts.host import Host
from tests.simulation.hosts.office import OfficeBridgeLink
from tests.simulation.ledger import Violation
from tests.simulation.world import WALL

if TYPE_CHECKING:
    from tests.simulation.world import World


_CARRIED = (
    actions.Ack,
    actions.Broadcast,
    actions.SendMarker,
    actions.SweepOffers,
    actions.DeadOffer,
    actions.DeadLetter,
)


class MasterHost(Host):
    link: BridgeLink | OfficeBridgeLink | BothPlaces | None  # type: ignore[assignment]  # it is two of them
    machine: BridgeMachine | None

    def __init__(self, world: World, name: str, *, signatures: tuple[str, ...], label: str | None = None) -> None:
        super().__init__(world, name, label=label)
        self.user = f"bridge-{name}"
        self.tickets = Tickets(self.label.encode().ljust(SECRET_BYTES, b"."), master=name)
        #: on its disk: what its post office keeps, where it is its own broker
        self.kept_claims: dict[int, KeepClaim] = {}
        self.signatures = signatures
        # the database
        self.jobs: dict[str, Job] = {}
        self.last_run = 0
        # the process
        self.buildbot: Buildbot | None = None
        self.seals: Seals
        #: rule 4: it found its name taken, said so and stopped
        self.was_duplicate = False
        #: sessions of which its agents spoke, and those of strangers who showed the ticket of an offer: to whoever has
        #: that the work was offered, for it is bound to no account (rule 21)
        self._of_agents: set[str] = set()
        self._offered: set[str] = set()
        self._ids = 0
        self._news: deque[inputs.Input] = deque()
        self._feeding = False

    # ---- life and death

    def start(self) -> None:
        if self.machine is not None:
            return
        self.process += 1
        self._news.clear()
        self._of_agents.clear()
        self._offered.clear()
        incarnation = f"{self.label}-i{self.process}"
        self.world.note(self.label, f"starts as {incarnation}")
        self._note_incarnation(incarnation)
        config = BridgeConfig(
            master=self.name,
            user=self.user,
            tickets=self.tickets,
            incarnation=incarnation,
            wall=lambda now: WALL + now + self.wall_skew,
        )
        self.machine = self.world.mutant.bridge_machine(BridgeMachine)(
            config=config, new_id=self._new_id, now=self.world.clock.now
        )
        self.seals = Seals(
            master=self.name, incarnation=incarnation, random=Random(f"{self.label}/{self.process}").randbytes
        )
        if self.world.plan.both:
            self.link = BothPlaces(self, self.process)
        elif self.world.plan.office:
            self.link = OfficeBridgeLink(self, self.process)
        else:
            self.link = BridgeLink(self, self.process)
        self.buildbot = self._make_buildbot()
        self.world.clock.call_later(self.world.between(0.0, 1.0), self.link.connect)
        self.buildbot.start()
        self.rearm()

    def _make_buildbot(self) -> Buildbot:
        return Buildbot(self, self.process)

    def kill(self, *, power_off: bool = False) -> None:
        """SIGKILL, or the end of the machine's power."""
        if self.machine is None:
            return
        self.world.note(self.label, "process ends")
        self.process += 1
        self.machine = None
        self._note_incarnation(None)
        self.disarm()
        if self.link is not None:
            self.link.close(power_off=power_off)
        if self.buildbot is not None:
            self.buildbot.die()
            self.buildbot = None

    def _note_incarnation(self, incarnation: str | None) -> None:
        if self.label == self.name:
            self.world.ledger.incarnations[self.name] = incarnation

    def stop_as_duplicate(self) -> None:
        """Rule 4: another master of this name is running: it says so and stops."""
        self.world.note(self.label, f"ALARM another master named {self.name} is running")
        self.was_duplicate = True
        self.kill()

    def quick_stop(self) -> None:
        """`buildbot stop`: keeps what runs for the next start."""
        if self.buildbot is not None:
            self.world.note(self.name, "buildbot stop")
            self.buildbot.quick_stop()
            self.world.clock.call_later(self.world.between(0.1, 0.6), self._stopped, self.process)

    def start_again(self) -> None:
        """Start, once an old process has ended that is on its way to."""
        if self.machine is not None and self.buildbot is not None and self.buildbot.stopping:
            self.world.clock.call_later(0.2, self.start_again)
        else:
            self.start()

    def _stopped(self, process: int) -> None:
        if process == self.process:
            self.kill()

    # ---- the process

    def feed(self, process: int, news: inputs.Input) -> None:
        """Tell the machine, carry out what it wants; what that makes Buildbot say comes after it."""
        if process != self.process:
            return
        self._news.append(news)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._news and self.machine is not None:
                for action in self.machine.handle(self._news.popleft(), self.world.clock.now):
                    self._do(action)
        finally:
            self._feeding = False
        self.rearm()

    def tick(self, process: int) -> None:
        self.feed(process, inputs.Tick())

    def _new_id(self) -> str:
        self._ids += 1
        return f"{self.name}-o{self._ids}"

    def heard(self, message: Any) -> None:
        """The link hands a message to the machine: from here on this incarnation knows the session."""
        incarnation = self.world.ledger.incarnations[self.name]
        if incarnation is not None and isinstance(message, (Claim, Resume, Accept)):
            self.world.note(self.name, lambda: f"hears {_short(message)} of {message.agent}")
            self.world.ledger.known[message.session].add(incarnation)
            if address_user(message.address) == AGENTS:
                if message.agent in {agent.name for agent in self.world.agents}:
                    self._of_agents.add(message.session)
            elif message.session not in self._of_agents and self._shows_an_offer(message):
                self._offered.add(message.session)
        elif isinstance(message, Gone):
            self.world.note(self.name, lambda: f"hears {_short(message)}")
            self.world.ledger.given_up.setdefault(message.session, "gone")

    def _shows_an_offer(self, message: Claim | Resume | Accept) -> bool:
        proof = self.tickets.proves(
            message.ticket, request=message.request, session=message.session, user=address_user(message.address)
        )
        return proof is not None and proof.kind != "grant" and proof.run == message.run

    def _do(self, action: actions.Action) -> None:
        assert self.link is not None
        assert self.buildbot is not None
        if isinstance(action, actions.Send):
            message: Any = action.message
            granted = isinstance(message, (Grant, Hold)) and message.session not in self._offered
            if granted and address_user(action.address) != AGENTS:
                raise Violation("nothing is granted to whom nothing was offered", f"{message!r} to {action.address}")
            if isinstance(message, (Refuse, Release)):
                self.world.ledger.given_up.setdefault(message.session, message.t)
            if message.t not in ("ping", "stored"):
                self.world.note(self.name, lambda: f"sends {_short(message)} to {action.address}")
            self.link.carry_out(action)
        elif isinstance(action, actions.ForgetSeal):
            self.seals.forget(action.session)
        elif isinstance(action, actions.PublishOffer):
            self.world.note(
                self.name,
                lambda: (
                    f"offers {action.offer.offer} of {action.offer.request}" + (" (ask)" if action.offer.ask else "")
                ),
            )
            self.link.carry_out(action)
        elif isinstance(action, actions.CheckRequest):
            delay = self.world.between(0.001, 0.05)
            self.world.clock.call_later(delay, self._checked, self.process, action.request)
        elif isinstance(action, actions.Alarm):
            self.world.note(self.name, f"ALARM {action.event}: {action.detail}")
        elif isinstance(action, _CARRIED):
            self.link.carry_out(action)
        elif not isinstance(action, actions.StateChanged):
            self.buildbot.hear(action)

    def _checked(self, process: int, request: str) -> None:
        job = self.jobs.get(request)
        self.feed(process, inputs.RequestChecked(request=request, complete=job is None or job.result is not None))
