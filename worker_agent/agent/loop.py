"""The agent's loop: what happens goes into the machine, what it wants is carried out. One task does both.

link, keepers, signals, clock ──inputs──> inbox ──> AgentMachine.handle ──actions──> Hands
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from contracts.errors import BadSeal
from contracts.machines.exhaustive import assert_never
from contracts.messages import Alive, Catalogue, Move, RollCall, Sealed, SlotStatus, Steer
from contracts.operations import memory
from worker_agent.agent.aside import aside, aside_each
from worker_agent.agent.dispatch import Hands
from worker_agent.agent.ending import EndReason
from worker_agent.agent.forever import Errors, Tasks
from worker_agent.agent.instance import Instance
from worker_agent.agent.parts import Inbox, Parts, Tells
from worker_agent.agent.snapshots import Snapshots
from worker_agent.core import inputs
from worker_agent.core.availability import Order
from worker_agent.core.machine import AgentConfig, AgentMachine
from worker_agent.keeper.giving_back import Program
from worker_agent.keeper.processes.reaper import become_subreaper, reap_strays
from worker_agent.keeper.second_user import SecondUser
from worker_agent.program.settings import Settings
from worker_agent.reporting.facts import facts
from worker_agent.reporting.telling import Telling, busy
from worker_agent.reporting.traces import AgentTraces

if TYPE_CHECKING:
    from worker_agent.reporting.metrics import Endpoints

log = structlog.get_logger(__name__)

#: Seconds between two self-checks of the machine, and between two looks at the room for build directories.
HEALTH_EVERY = 5.0
ROOM_EVERY = 30.0
#: Seconds after the start at which the first session's keeper is prepared: a start itself takes all of a processor.
EXPECT_AFTER = 3.0
#: Seconds for the files that tell of this machine; after that they are told as they were.
FACTS_TIMEOUT = 1.0
#: Seconds for what was published last to be confirmed, before the agent leaves all the same.
FLUSH_TIMEOUT = 10.0
#: Seconds after a Stop, after which the agent leaves though something still holds it.
STOP_TIMEOUT = 30.0


class Agent:
    """One run of the agent, from `run` to its end."""

    def __init__(
        self,
        settings: Settings,
        instance: Instance,
        user: SecondUser | None = None,
        traces: AgentTraces | None = None,
        give_back: Program | None = None,
    ) -> None:
        """`give_back`: what a keeper is to start where this process is killed."""
        assert settings.amqp_url is not None
        self._settings = settings
        self._instance = instance
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[Inbox] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        #: what came of things that happened and is to be told: a link that is up, slots (None: as they were)
        self._linked = False
        self._slots: Sequence[SlotStatus] | None = None
        #: how the run ends; None: it goes on
        self._ending: EndReason | None = None
        #: after a Stop: when to leave all the same
        self._stop_by: float | None = None
        self._errors = Errors()
        self._tasks = Tasks(self._errors, self._broken)

        tells = Tells(
            put=self._put,
            unwell=self._found_health,
            abilities=self._abilities_changed,
            asked=lambda: self.telling.asked(),
        )
        self.parts = Parts(settings, instance, user, tells, traces, give_back)
        self.hands = Hands(
            self.parts.link,
            self.parts.sessions,
            self._errors,
            seals=self.parts.seals,
            check=lambda asked: self._tasks.once("check before a claim", self.parts.checks.before_claim(asked)),
            left=lambda: self._finish(EndReason.LEFT),
        )
        self.machine: AgentMachine
        self.snapshots: Snapshots
        self.telling: Telling

    # -- what the outside may ask for (from the event loop) --------------------------------------------------------

    def leave(self, reason: str) -> None:
        """Drain; asked again: stop at once and give the work back."""
        self._put(inputs.Leave(reason=reason))

    def asked_to_leave(self) -> bool:
        """After `run`: it was asked to leave, and not to stay since; also where it has not come to that order."""
        orders: list[Inbox] = []
        while not self._inbox.empty():
            orders.append(self._inbox.get_nowait())
        return self.order in (Order.LEAVE, Order.LEFT) or any(
            isinstance(order, (inputs.Leave, inputs.Stop)) for order in orders
        )

    @property
    def order(self) -> Order:
        """What was asked of the agent as a whole: work, pause, leave."""
        return self.machine.order

    def restart(self, reason: str) -> None:
        """End this process's part and leave the keepers to the next."""
        log.info("restarting", reason=reason)
        self._finish(EndReason.RESTART)
        self._put(inputs.Tick())

    def probe(self, reason: str) -> None:
        """Find out anew what this machine can do."""
        log.info("probing", reason=reason)
        self._tasks.once("probing", self.parts.probing.ask())

    # -- the loop --------------------------------------------------------------------------------------------------

    async def run(self) -> EndReason:
        """Work until asked to leave, or broken."""
        become_subreaper()
        recovered = await self.parts.sessions.recover()
        self._tasks.always("link", self.parts.link.run)  # meanwhile: what it says waits in the inbox
        endpoints = await self._start(recovered)
        try:
            while self._ending is None:
                self._take_in_order(await self._inbox.get())
            await self._end()
        finally:
            if endpoints is not None:
                endpoints.close()
            await self._tasks.end()
            self.parts.errands.close()
        return self._ending

    async def _start(self, recovered: Sequence[inputs.Recovered]) -> Endpoints | None:
        """All that makes it work; what programs ask it for figures, if that is wanted."""
        await self._learn_facts()
        await self.parts.probing.begin()
        self._begin(recovered)
        self._put(inputs.Tick())
        if self.parts.pause.reason is not None:
            log.info("paused", reason=self.parts.pause.reason, remedy="`master-bridge resume`")
            self._feed(inputs.Pause(reason=self.parts.pause.reason))
        with self._errors.said("self-check"):
            self._found_health(await self.parts.checks.health())
        self._tasks.always("queues", self.parts.queues.run)
        self._tasks.always("self-check", self._look_after)
        self._tasks.always("probes", self.parts.probing.run)
        self._tasks.always("room for builds", partial(aside_each, ROOM_EVERY, self.parts.builddirs.make_room))
        self._tasks.always("memory", partial(aside_each, memory.GIVE_BACK_EVERY, memory.give_back))
        self._loop.call_later(EXPECT_AFTER, self.parts.sessions.expect)
        self._tasks.always("status", self.telling.run)
        return self.telling.serve(self.parts.figures, self.snapshots.amounts)

    def _begin(self, recovered: Sequence[inputs.Recovered]) -> None:
        """The machine, with what an earlier process left, and what tells of it."""
        parts = self.parts
        self.machine = AgentMachine(
            config=AgentConfig(
                instance=self._instance.uuid,
                agent=self._settings.name,
                slots=self._settings.slots,
                worker_info=parts.information,
                capabilities=parts.abilities.capabilities,
                seals=parts.abilities.seals,
            ),
            journal=parts.journal,
            new_id=lambda: str(uuid4()),
            now=self._loop.time(),
            recovered=recovered,
        )
        self.snapshots = Snapshots(
            self._instance, self.machine, parts.link, parts.queues, parts.abilities, parts.introduction, parts.sessions
        )
        self.telling = Telling(
            self._settings,
            lambda: self.snapshots.take(self._loop.time()),
            parts.link.publish_status,
            parts.abilities.found,
            parts.moving.public_key,
        )

    def _finish(self, ending: EndReason) -> None:
        """The run ends, so or worse."""
        self._ending = ending if self._ending is None else max(ending, self._ending, key=list(EndReason).index)

    def _put(self, what: Inbox) -> None:
        self._inbox.put_nowait(what)

    def _take_in_order(self, what: Inbox) -> None:
        """This, and all that has happened meanwhile; what came of it is told once."""
        with self._errors.said("agent"):
            self._take(what)
        while self._ending is None and not self._inbox.empty():
            with self._errors.said("agent"):
                self._take(self._inbox.get_nowait())
        with self._errors.said("agent"):
            self._set_timer()
            linked, self._linked, slots, self._slots = self._linked, False, self._slots, None
            self.telling.look(self.snapshots.take(self._loop.time(), slots), now=linked)

    def _take(self, what: Inbox) -> None:
        """One thing that happened."""
        if callable(what):
            what()
        elif isinstance(what, inputs.MessageReceived):
            self._hear(what)
        elif isinstance(what, (inputs.OfferDelivered, inputs.MachineChecked)):
            self._feed_offer(what)
        elif isinstance(what, (inputs.Leave, inputs.Stop)):
            self._leave(what)
        elif isinstance(what, inputs.LinkUp):
            self._linked = True
            self.parts.link.enter()
            self._tasks.once("facts of the machine", self._learn_facts())
            self.parts.queues.link_up()
            self._feed(what)
        elif isinstance(what, inputs.LinkDown):
            self.parts.queues.link_down()
            self._feed(what)
        else:
            self._feed(what)

    def _hear(self, what: inputs.MessageReceived) -> None:
        """What is meant for the agent as a whole stays here; the rest is the machine's."""
        message = what.message
        if isinstance(message, Steer):
            self._steer(message)
        elif isinstance(message, Move):
            self.parts.moving.ordered(message)
        elif isinstance(message, Catalogue):
            self.parts.queues.catalogue(message)
        elif isinstance(message, Sealed):
            self._feed(self._opened(message, what))
        else:
            if isinstance(message, (Alive, RollCall)):
                self.parts.queues.master_speaks(message.master, message.incarnation)
                self.telling.master_speaks(message)
            self._feed(what)

    def _opened(self, sealed: Sealed, what: inputs.MessageReceived) -> inputs.MessageReceived:
        """Here and not where it arrives: by now the machine has heard the grant that came before it."""
        try:
            message = self.parts.seals.incoming(sealed, what.user)
        except BadSeal as error:
            log.error("message_sender_not_verified", type=sealed.t, user=what.user, reason=str(error))
            self.parts.link.reject(sealed, str(error))
            return what
        return replace(what, message=message, sealed=not isinstance(message, Sealed))

    def _feed_offer(self, what: inputs.OfferDelivered | inputs.MachineChecked) -> None:
        try:
            self._feed(what)
        except Exception as error:  # an offer that nobody settles keeps all others away
            self.parts.link.send_to_dead(what.delivery, f"cannot be handled: {type(error).__name__}")
            self._put(inputs.DeliveryLost(delivery=what.delivery))
            raise

    def _feed(self, what: inputs.Input) -> None:
        now = self._loop.time()
        with self._errors.said("figures"):
            self.parts.saw(what, now)
        actions = self.machine.handle(what, now)
        with self._errors.said("figures"):
            self.parts.did(actions, now)
        self.hands.carry_out(actions)
        slots = self._slots = self.machine.slots()
        leaves = self.order not in (Order.LEAVE, Order.LEFT) and self.parts.lifetime.look(slots, now)
        self.parts.probing.worked(busy(slots))
        if leaves:
            self._leave(inputs.Leave(reason=self.parts.lifetime.reason or ""))

    def _set_timer(self) -> None:
        due = [time for time in (self.machine.deadline, self.parts.lifetime.deadline) if time is not None]
        if self._timer is not None:
            if due and self._loop.time() < self._timer.when() <= min(due):
                return  # at its time it is set anew: most deadlines move on with each message, and none is reached
            self._timer.cancel()
        self._timer = self._loop.call_at(min(due), self._put, inputs.Tick()) if due else None

    async def _end(self) -> None:
        """After the machine's last action: let what it published arrive, and go."""
        if self._ending is EndReason.RESTART:
            await self.parts.sessions.detach()
        else:
            await self._end_sessions()
            self.telling.tell(state="leaving")
        try:
            await asyncio.wait_for(self.parts.link.flush(), FLUSH_TIMEOUT)
        except asyncio.TimeoutError:
            log.warning("messages_unconfirmed_at_exit", publications=self.parts.link.unconfirmed)

    async def _end_sessions(self) -> None:
        """Until nothing of them runs any more; after a Stop not for ever."""
        timeout = None if self._stop_by is None else self._stop_by - self._loop.time()
        ended = self._loop.create_task(self.parts.sessions.idle())
        await asyncio.wait([ended], timeout=timeout)
        if not ended.done():
            ended.cancel()
            self._give_up()

    def _give_up(self) -> None:
        log.error("stop_forced", sessions=len(self.parts.sessions))
        self._finish(EndReason.FAILED)  # of which the loop hears first of all

    def _broken(self, error: BaseException) -> None:
        """Without its link or its knowledge of queues an agent is useless: it ends, so that somebody starts it anew."""
        log.error("agent_failed", reason=str(error))
        self._finish(EndReason.FAILED)
        self._put(inputs.Tick())

    # -- orders ----------------------------------------------------------------------------------------------------

    def _leave(self, asked: inputs.Leave | inputs.Stop) -> None:
        if isinstance(asked, inputs.Leave) and self.order is not Order.LEAVE:
            log.info("draining", reason=asked.reason)
        else:
            log.warning("stopping", reason=asked.reason, effect="what runs is killed and given back")
            self._stop_by = self._loop.time() + STOP_TIMEOUT
            self._loop.call_at(self._stop_by, self._put, self._give_up)
        self._feed(asked)

    def _steer(self, message: Steer) -> None:
        if message.instance not in (None, self._instance.uuid):
            return
        reason = f"asked by an operator{': ' if message.reason else ''}{message.reason}"
        if message.order == "drain":
            log.info("pausing", reason=reason)
            self.parts.pause.begin(reason)
            self._feed(inputs.Pause(reason=reason))
        elif message.order == "resume":
            log.info("resuming", reason=reason)
            self.parts.pause.end()
            self.parts.lifetime.stay(self._loop.time())
            self._feed(inputs.ResumeWork())
        elif message.order == "leave":
            if self.order is not Order.LEAVE:  # who asks twice, by whatever way, does not mean to stop at once
                self._leave(inputs.Leave(reason=reason))
        elif message.order == "stop":
            self._leave(inputs.Stop(reason=reason))
        elif message.order == "restart":
            self.restart(reason)
        elif message.order == "probe":
            self.probe(reason)
        else:
            assert_never(message.order)

    # -- fitness ---------------------------------------------------------------------------------------------------

    def _found_health(self, reasons: tuple[str, ...]) -> None:
        before = self.machine.availability.unwell
        if bool(reasons) != bool(before):
            log.warning("unwell", reasons=reasons) if reasons else log.info("well_again")
        if reasons != before:
            self._feed(inputs.Wellness(reasons=reasons))

    async def _learn_facts(self) -> None:
        """As Buildbot's worker, at each connection: somebody may have written another file. Nobody waits for a disk."""
        look = partial(facts, self._settings.basedir, errands=self.parts.errands)
        with suppress(asyncio.TimeoutError):
            self.parts.information.tell(await asyncio.wait_for(aside(look), FACTS_TIMEOUT))

    def _abilities_changed(self) -> None:
        self._put(self.parts.queues.capabilities_changed)
        self._put(self.telling.tell)

    async def _look_after(self) -> None:
        while True:
            self.telling.turned = time.monotonic()
            await asyncio.sleep(HEALTH_EVERY)
            await self.parts.checks.tell_health()
            self._instance.remember()
            # not while they run: a probe's exit status would be taken from it
            if not (self.parts.checks.running or self.parts.probing.running):
                own = self.parts.sessions.keeper_pids | self.parts.errands.pids | self.parts.link.children
                reap_strays(frozenset(own))
