"""A machine with an agent on it: a disk that survives, a main process that may not, keepers between the two."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from contracts.errors import BadSeal
from contracts.messages import (
    Accept,
    AnyMessage,
    Capability,
    Claim,
    Event,
    Message,
    Refuse,
    Release,
    Resume,
    Sealed,
    Status,
    WorkerInfo,
)
from tests.simulation.hosts.agent_link import AgentLink
from tests.simulation.hosts.disk import Disk
from tests.simulation.hosts.host import Host
from tests.simulation.hosts.keeper import Keeper
from tests.simulation.hosts.office import OfficeAgentLink
from tests.simulation.ledger import Violation
from tests.simulation.plan import AgentPlan
from tests.simulation.world import WALL
from worker_agent.core import actions, inputs
from worker_agent.core.inputs import Recovered
from worker_agent.core.machine import AgentConfig, AgentMachine
from worker_agent.keeper import orders
from worker_agent.keepers.client import order_of
from worker_agent.link.seals import Seals

#: The broker account that all agents share.
AGENTS = "agents"

if TYPE_CHECKING:
    from tests.simulation.world import World

#: An agent that is told that a session is over has ended its processes after this many seconds.
TOLD = 3.0
#: A machine is checked before a claim within this many seconds.
CHECKED = 0.05
_CAPABILITIES = (Capability(name="model", version="1"),)


class AgentHost(Host):
    link: AgentLink | OfficeAgentLink | None
    machine: AgentMachine | None

    def __init__(self, world: World, planned: AgentPlan) -> None:
        name = planned.name
        super().__init__(world, name)
        self.user = AGENTS
        self.planned = planned
        self.queues = planned.queues
        #: it comes to the master itself
        self.at_office = world.plan.office
        self.starts_keepers = True
        self.disk = Disk(name, world.mutant)
        #: session -> run of its last grant, the truth that its meta file must tell
        self.granted: dict[str, int] = {}
        # processes
        #: sessions that were granted to this main process
        self._granted_now: set[str] = set()
        self.keepers: dict[str, Keeper] = {}
        #: it never starts again
        self.retired = False
        self.frozen = False
        self._thawing: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._sessions = 0
        self._lives = 0
        self._todo: deque[actions.Action] = deque()
        self._busy = False
        self._unwell: tuple[str, ...] = ()

    # ---- life and death

    def start(self) -> None:
        """Start the main process with what the disk and the living keepers remember."""
        if self.machine is not None or self.retired:
            return
        self.process += 1
        self._granted_now.clear()
        self.world.note(self.name, f"main process {self.process} starts, sessions on disk: {sorted(self.disk.metas)}")
        recovered = []
        for session in sorted(self.disk.metas):
            meta = self.disk.meta(session)
            keeper = self.keepers.get(session)
            alive = keeper is not None and keeper.alive
            recovered.append(Recovered(meta=meta, alive=alive, last_seq=self.disk.last_seq(session)))
            if keeper is not None:
                keeper.main_back()
        config = AgentConfig(
            instance=self.instance,
            agent=self.name,
            slots=self.planned.slots,
            worker_info=lambda master, slot: _worker_info(self.name, master, slot),
            capabilities=lambda: _CAPABILITIES,
            seals=True,
        )
        self.seals = Seals(random=Random(f"{self.name}/{self.process}").randbytes)
        self.machine = self.world.mutant.agent_machine(AgentMachine)(
            config=config,
            journal=self.disk,
            new_id=self._new_session,
            now=self.world.clock.now,
            recovered=recovered,
        )
        self._make_link().connect()
        if self._unwell:
            self.feed(self.process, inputs.Wellness(reasons=self._unwell))
        self.rearm()

    def _make_link(self) -> AgentLink | OfficeAgentLink:
        self.link = OfficeAgentLink(self, self.process) if self.at_office else AgentLink(self, self.process)
        return self.link

    def move(self, *, to_office: bool) -> None:
        """An operator tells it to go to the other place, which lets it in."""
        if self.at_office == to_office or self.frozen:
            return  # who is stopped hears nothing
        self.at_office = to_office
        self.world.note(self.name, f"moves to the {'post office' if to_office else 'broker'}")
        if self.machine is None or self.link is None:
            return  # it comes up there
        was_up = self.link.up
        self.link.close()
        if was_up:
            self.feed(self.process, inputs.LinkDown())
        self._make_link().connect()

    def kill_main(self, *, keepers_see_it: bool = True, power_off: bool = False) -> None:
        """SIGKILL of the main process only."""
        if self.frozen:
            self.thaw()  # its keepers would go on later; simpler, and no less mean
        if self.machine is None:
            return
        self.world.note(self.name, "main process ends")
        self.machine = None
        self.process += 1
        self._todo.clear()
        self._busy = False
        self.disarm()
        if self.link is not None:
            self.link.close(power_off=power_off)
        if keepers_see_it:
            for keeper in self.keepers.values():
                if keeper.alive:
                    keeper.main_gone()

    def retire(self, *, power_off: bool) -> None:
        """It goes and never comes back."""
        self.retired = True
        self.kill_all(wipe=True, power_off=power_off)

    def power_off(self, *, lose: int) -> None:
        """The machine's power ends: up to `lose` events of each journal had not reached the disk."""
        self.kill_all(power_off=True)
        self.disk.lose(lose)

    def kill_all(self, *, wipe: bool = False, power_off: bool = False) -> None:
        """The container is killed, or the machine; `wipe`: its disk does not come back."""
        self._wake_to_die()
        self.world.note(self.name, "killed, all of it" + (", disk lost" if wipe else ""))
        if self.link is not None and not power_off:
            self.link.dies()
        self.kill_main(keepers_see_it=False, power_off=power_off)
        for keeper in self.keepers.values():
            keeper.end()
        self.keepers.clear()
        if wipe:
            self._lives += 1
            self.disk = Disk(f"{self.name}-{self._lives}", self.world.mutant)

    def _wake_to_die(self) -> None:
        """SIGKILL reaches a stopped process, too: nothing of what waited for it happens any more."""
        if self.frozen:
            self.frozen = False
            self.world.ledger.suspended.discard(self.name)
            self._thawing.clear()
            self.heal()

    def freeze(self) -> None:
        """SIGSTOP of everything: the kernel keeps the connections, nobody answers."""
        self.frozen = True
        self.world.ledger.suspended.add(self.name)
        if self.link is not None:
            for connection in self.link.connections:
                connection.cut()

    def thaw(self) -> None:
        self.frozen = False
        self.world.ledger.suspended.discard(self.name)
        while self._thawing and not self.frozen:
            call, args = self._thawing.popleft()
            call(*args)
        self.heal()
        self.world.clock.call_later(0.001, self.world.ledger.check_fences, self.name)

    def when_thawed(self, call: Callable[..., object], *args: Any) -> None:
        """A timer of this machine fires: at once, or when it runs again."""
        if self.frozen:
            self._thawing.append((call, args))
        else:
            call(*args)

    # ---- the main process

    def feed(self, process: int, news: inputs.Input) -> None:
        """Tell the machine, carry out what it wants; news for an earlier process is lost with it."""
        if self.frozen:
            self._thawing.append((self.feed, (process, news)))
            return
        if self.machine is None or process != self.process:
            return
        self._todo.extend(
            action for action in self.machine.handle(news, self.world.clock.now) if not self._about_seals(action)
        )
        self._carry_out()
        self.rearm()

    def _about_seals(self, action: actions.Action) -> bool:
        """At once, before anything else is heard."""
        if isinstance(action, actions.Agree):
            self.seals.agree(action)
        elif isinstance(action, actions.ForgetSeal):
            self.seals.forget(action.session)
        else:
            return False
        return True

    def hear(self, process: int, message: AnyMessage, user: str, forged: bool) -> None:
        """A message from the control queue. Who is told that a session is over must end it soon."""
        if self.frozen:
            self._thawing.append((self.hear, (process, message, user, forged)))
            return
        if process != self.process:
            return
        sealed = isinstance(message, Sealed)
        try:
            message = self.seals.incoming(message, user)
        except BadSeal as error:
            self.world.note(self.name, f"ALARM {error}")
        sealed = sealed and not isinstance(message, Sealed)
        over = isinstance(message, Release) or (isinstance(message, Refuse) and message.re == "resume")
        if over and not forged and message.session in self.disk.metas:  # type: ignore[union-attr]  # both have one
            self.world.clock.call_later(TOLD, self.when_thawed, self._must_be_over, self.instance, message)
        self.feed(process, inputs.MessageReceived(message=message, user=user, sealed=sealed))

    def _must_be_over(self, instance: str, message: Refuse | Release) -> None:
        ledger = self.world.ledger
        for execution in ledger.running_in(message.session, self.name):
            detail = f"{self.name} was told {message.t} of {message.session}, command {execution.n} runs on"
            raise Violation("no zombies: who is told that a session is over ends it", detail)

    def hear_keeper(self, process: int, news: inputs.Input) -> None:
        self.feed(process, news)

    def status(self) -> Status:
        """What it tells the fleet."""
        assert self.machine is not None
        assert self.link is not None
        return Status(
            instance=self.instance,
            agent=self.name,
            epoch=self.disk.identity[1],
            address=self.link.address,
            version="model",
            now=WALL + self.world.clock.now + self.wall_skew,
            state="ready",
            slots=self.machine.slots(),
            capabilities=_CAPABILITIES,
        )

    def learn_queues(self) -> None:
        """The catalogue, or a look at the broker: which queues are there for this agent."""
        if self.link is not None and self.link.up:
            known = frozenset(name for name in self.world.cap_queues if name in self.queues)
            self.feed(self.process, inputs.QueuesKnown(queues=known))

    def wellness(self, *reasons: str) -> None:
        self._unwell = reasons
        self.feed(self.process, inputs.Wellness(reasons=reasons))

    @property
    def instance(self) -> str:
        return self.disk.identity[0]

    def _new_session(self) -> str:
        self._sessions += 1
        return f"{self.name}-s{self._sessions}"

    def tick(self, process: int) -> None:
        self.feed(process, inputs.Tick())

    def _carry_out(self) -> None:
        """In order; a close takes its time, and what follows waits for it."""
        while self._todo and not self._busy:
            action = self._todo.popleft()
            if isinstance(action, actions.CloseSession) and self.world.plan.slow_close:
                self._busy = True
                self.world.clock.call_later(
                    self.world.between(0.0, 0.4), self.when_thawed, self._closed, self.process, action
                )
                return
            self._do(action)

    def _closed(self, process: int, action: actions.CloseSession) -> None:
        if process == self.process:
            self._busy = False
            self._do(action)
            self._carry_out()

    def _do(self, action: actions.Action) -> None:
        world, link = self.world, self.link
        assert link is not None
        if isinstance(action, actions.Publish):
            world.note(self.name, lambda: f"publishes {_short(action.message)}")
            self._must_remember(action.message)
            self._publish(action)
        elif isinstance(action, actions.Consume):
            world.note(self.name, lambda: f"consumes {list(action.queues)}")
            link.consume(action.queues)
        elif isinstance(action, actions.CancelConsumers):
            link.consume(())
        elif isinstance(action, actions.CheckMachine):
            takes = CHECKED * (action.delivery % 8) / 8  # without the dice: what else is drawn stays as it is
            world.clock.call_later(takes, self.when_thawed, self._checked, self.process, action)
        elif isinstance(action, (actions.Ack, actions.Park, actions.GiveBack, actions.SendToDead)):
            world.note(self.name, lambda: f"{type(action).__name__} {action.delivery}")
            link.settle(action)
        elif isinstance(action, actions.Persist):
            self.disk.persist(action.meta)
        elif isinstance(action, actions.OpenSession):
            offer = self.disk.meta(action.session).offer
            keeper = self.keepers[action.session] = Keeper(self, offer, action.session)
            if not self.starts_keepers:
                keeper.kill("cannot fork: resource temporarily unavailable")
        elif isinstance(action, actions.CloseSession):
            self._close(action)
        elif isinstance(action, actions.Reject):
            world.note(self.name, f"ALARM rejects {_short(action.message)}: {action.reason}")
            link.send_to_dead(world.write(action.message))
        elif isinstance(action, actions.MasterSilent):
            world.note(self.name, f"master {action.master} silent: {action.silent}")
        elif isinstance(action, actions.Alarm):
            world.note(self.name, f"ALARM {action.event}: {action.detail}")
        elif isinstance(action, actions.Report):
            world.note(self.name, f"logs {action.event} of {action.offer.request}: {dict(action.fields)}")
        elif isinstance(action, actions.Exit):
            self.kill_main()
            if world.settling:
                world.clock.call_later(1.0, self.start)
        else:
            self._ask_keeper(action)

    def _checked(self, process: int, action: actions.CheckMachine) -> None:
        """Here every machine is able; it takes a moment to say so."""
        self.feed(process, inputs.MachineChecked(delivery=action.delivery, able=True))

    def _publish(self, action: actions.Publish) -> None:
        if isinstance(action.message, (Claim, Resume)) and action.sealed:
            self.world.sealed.add(action.message.session)
        try:
            message = self.seals.outgoing(action)
        except BadSeal as error:
            self.world.note(self.name, f"cannot seal: {error}")
        else:
            assert self.link is not None
            self.link.publish(replace(action, message=message))

    def _must_remember(self, message: Message) -> None:
        """The machine's grants outlive its main process; what an earlier one was granted waits for a new grant."""
        if isinstance(message, Accept):
            self.granted[message.session] = message.run
            self._granted_now.add(message.session)
        elif isinstance(message, Resume) and message.run != self.granted.get(message.session, message.run):
            detail = f"{message.session} tells run {message.run}, granted was {self.granted[message.session]}"
            raise Violation("a resume tells the run that was granted last", detail)
        elif isinstance(message, Event) and message.session in self.granted.keys() - self._granted_now:
            detail = f"{message.session}: event {message.seq} before the grant of this main process"
            raise Violation("a session that was granted waits for its next grant", detail)

    def _close(self, action: actions.CloseSession) -> None:
        self.world.note(
            self.name, f"closes {action.session}" + (" but keeps its journal" if action.keep_journal else "")
        )
        keeper = self.keepers.pop(action.session, None)
        if keeper is not None:
            keeper.end()
        if not action.keep_journal:
            self.disk.remove(action.session)

    def _ask_keeper(self, action: actions.Action) -> None:
        session: str = action.session  # type: ignore[union-attr, assignment]  # the actions left are a session's
        keeper = self.keepers.get(session)
        if keeper is None:
            return
        if isinstance(action, actions.RunCommand):
            keeper.hear(order_of(action.command))
        elif isinstance(action, actions.CompleteUnstarted):
            command = action.command
            keeper.hear(orders.complete_unstarted(command.n, command.name, command.digest, action.reason))
        elif isinstance(action, actions.InterruptCommand):
            keeper.hear(orders.interrupt(action.n, action.reason))
        elif isinstance(action, actions.FeedData):
            keeper.hear(orders.feed(action.n, action.offset, action.size), action.data)
        elif isinstance(action, actions.TrimJournal):
            keeper.hear(orders.trim(action.seq))
        elif isinstance(action, actions.Contact):
            keeper.contact()


def copy_of(original: AgentHost) -> AgentHost:
    """A machine onto which the state folder of `original` was copied as it is now; no process came with it."""
    world = original.world
    copy = AgentHost(world, replace(original.planned, name=f"{original.name}-copy{len(world.copies)}"))
    copy.disk, copy.granted = original.disk.copy(), dict(original.granted)
    return copy


def _worker_info(agent: str, master: str, slot: int) -> WorkerInfo:
    return WorkerInfo(version="model", basedir=f"/{agent}/{master}/slot-{slot}")


def _short(message: Any) -> str:
    fields = {
        key: getattr(message, key)
        for key in ("session", "request", "seq", "n", "kind", "re", "reason", "stored", "epoch")
        if hasattr(message, key)
    }
    return f"{message.t} " + " ".join(f"{key}={value}" for key, value in fields.items())
