"""An operator's program as a master for a while: the bridge's machine between agents and what is to be done on them.

It has a name of its own, `operator-<login>-<hex>`, and tells each agent its offer (docs/protocol.md, rule 26). All
happens within `do`, in the caller's thread. The link may be lost and made again as often as it likes.
"""

from __future__ import annotations

import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Union
from uuid import uuid4

import structlog

from contracts import topology
from contracts.errors import NotBelieved
from contracts.machines.exhaustive import assert_never
from contracts.messages import Accept, AnyMessage, Claim, Data, Resume, Status
from contracts.timing import DIRECT_AGAIN, DIRECT_PATIENCE
from contracts.topology import key_word
from contracts.trust.tickets import SECRET_BYTES, Tickets
from master_bridge.core import actions, inputs
from master_bridge.core.machine import BridgeConfig, BridgeMachine
from master_bridge.operating.errors import Unreachable
from master_bridge.operating.port import OperatorsLink
from master_bridge.operating.survey import Survey, whose
from master_bridge.running.answers import AgentResult
from master_bridge.running.interrupts import Interrupts
from master_bridge.running.job import INTERRUPTED, Job
from master_bridge.running.mail import Mail
from master_bridge.running.orders import Order, StepFailed

log = structlog.get_logger(__name__)

#: What each offer asks for: its agent is named by its address.
SIGNATURE = "any"
#: Of the session, below the operators' folder of the agent.
BUILDDIR = "run"
#: Seconds between two looks at what is due while nothing comes, and for the first and the longest pause between two
#: tries to connect again.
TURN = 0.2
PAUSES = (0.2, 5.0)
_FOR_THE_LINK = (actions.PublishOffer, actions.Send, actions.SendMarker)
ForTheLink = Union[actions.PublishOffer, actions.Send, actions.SendMarker]
_FOR_A_JOB = (actions.Attach, actions.Deliver, actions.ServeData, actions.Lost, actions.Abandoned, actions.StateChanged)
ForAJob = Union[
    actions.Attach, actions.Deliver, actions.ServeData, actions.Lost, actions.Abandoned, actions.StateChanged
]
#: Nobody but this program has its sessions: who is called is named, no queue and no database has anything of it, and
#: what is not believed is dropped.
_NOTHING = (actions.Broadcast, actions.SweepOffers, actions.CancelledEarlier, actions.DeadOffer)

#: Opens a connection, for the time of a `with`. Raises `OperatingError`.
Connect = Callable[[], AbstractContextManager[OperatorsLink]]
#: What is to be done, of the agents that are alive. Raises `OperatingError`.
Choose = Callable[[Sequence[Status]], Sequence[Job]]


class Guest:
    """For one call of an operator's. `who`: the login, for people. `say`: of what lasts or goes wrong, for people.

    `wait`: seconds for an agent to answer before it is given up.
    """

    def __init__(
        self, connect: Connect, *, who: str, title: str, wait: float, say: Callable[[str], None] = lambda text: None
    ) -> None:
        login = "".join(character if character.isalnum() and character.isascii() else "-" for character in who)[:64]
        self.master = f"{topology.OPERATORS_PREFIX}{login or 'unknown'}-{secrets.token_hex(4)}"
        self._title = f"{login}: {title}"
        self._connect = connect
        self._wait = wait
        self._say = say
        self._jobs: dict[str, Job] = {}
        self._machine: BridgeMachine | None = None
        self._incarnation = uuid4().hex
        self._user = ""
        self._survey: Survey | None = None
        self._inputs: deque[inputs.Input] = deque()
        self._working = False
        self._mail = Mail(self.master, self._incarnation, returned=self._inputs.append, check=self._check)
        self._began = 0.0
        self._look_at = 0.0
        self._interrupted = 0

    # -- what the caller asks for --------------------------------------------------------------------------------------

    def do(self, choose: Choose) -> list[AgentResult]:
        """Have it done; all are over when it returns. Raises `OperatingError` where it did not begin,
        `KeyboardInterrupt` once what runs is ended, and what readers of output raise."""
        pause = PAUSES[0]
        with Interrupts() as interrupts:
            try:
                while not self._is_done:
                    began = time.monotonic()
                    try:
                        with self._connect() as link:
                            self._live(link, choose, interrupts)
                    except Unreachable as error:
                        if self._machine is None or not self._jobs:
                            raise
                        self._lost(error)
                        pause = PAUSES[0] if time.monotonic() - began > PAUSES[1] else min(2 * pause, PAUSES[1])
                        self._sleep(random.uniform(0, pause), interrupts)  # noqa: S311  # no secret
            finally:
                for job in self._jobs.values():
                    job.end(time.monotonic(), error="the operator's program ended", is_lost=True)
            if interrupts.count:
                raise KeyboardInterrupt
        return self.results

    @property
    def results(self) -> list[AgentResult]:
        """Of those that are over."""
        return [job.result for job in self._jobs.values() if job.result is not None]

    @property
    def _is_done(self) -> bool:
        return self._machine is not None and all(job.is_over for job in self._jobs.values())

    # -- one life of the link ------------------------------------------------------------------------------------------

    def _live(self, link: OperatorsLink, choose: Choose, interrupts: Interrupts) -> None:
        self._survey = Survey(link).open()
        self._mail.begin(link)
        try:
            if self._machine is None:
                self._survey.gather()
                jobs = choose(self._survey.agents)
                self._begin(link, jobs)
            else:
                self._survey.ask()
                self._say("connected again")
            self._feed(inputs.LinkUp())
            while not self._is_done:
                self._turn(link, interrupts)
        except Unreachable:
            raise
        except BaseException:
            self._leave()
            raise
        link.stop_receiving()

    def _begin(self, link: OperatorsLink, jobs: Sequence[Job]) -> None:
        now = time.monotonic()
        offset = time.time() - now
        self._user = key_word(link.user)
        self._machine = BridgeMachine(
            config=BridgeConfig(
                master=self.master,
                incarnation=self._incarnation,
                user=self._user,
                tickets=Tickets(secrets.token_bytes(SECRET_BYTES), master=self.master),
                wall=lambda at: at + offset,
                roll_call=0.0,
            ),
            new_id=lambda: uuid4().hex,
            now=now,
        )
        self._began = now
        self._jobs = {job.request: job for job in jobs}
        for job in jobs:
            if not job.is_able:
                job.end(now, error="this agent takes no commands of operators: upgrade it, or choose others")
                continue
            self._feed(
                inputs.Seek(
                    request=job.request,
                    run=1,
                    kind="build",
                    signature=SIGNATURE,
                    builddir=BUILDDIR,
                    title=self._title,
                    fencing=DIRECT_PATIENCE,
                    seal=job.seal,
                )
            )

    def _turn(self, link: OperatorsLink, interrupts: Interrupts) -> None:
        assert self._machine is not None
        if interrupts.count > self._interrupted:
            self._interrupted = interrupts.count
            self._interrupt()
        now = time.monotonic()
        deadline = self._machine.deadline
        link.work(TURN if deadline is None else max(0.0, min(TURN, deadline - now)))
        for event in self._mail.read():
            self._feed(event)
        self._feed(inputs.Tick())
        self._look(time.monotonic())
        self._mail.raise_if_broken()

    def _lost(self, error: Unreachable) -> None:
        self._mail.lose()
        self._feed(inputs.LinkDown())
        self._say(f"{error}; trying again, commands run on")

    def _sleep(self, seconds: float, interrupts: Interrupts) -> None:
        """Who interrupts while nobody can be told leaves with the second time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, TURN))
            if interrupts.count > 1:
                raise KeyboardInterrupt

    # -- interrupts ----------------------------------------------------------------------------------------------------

    def _interrupt(self) -> None:
        """What runs is ended; with the second time nobody waits for that."""
        if self._interrupted > 1:
            raise KeyboardInterrupt
        now = time.monotonic()
        open_jobs = [job for job in self._jobs.values() if not job.is_over]
        self._say(f"interrupting {', '.join(job.agent for job in open_jobs)}; once more: leave at once")
        for job in open_jobs:
            job.is_interrupted = True
            if job.runs:
                self._feed(inputs.InterruptCommand(request=job.request, n=job.n, reason=INTERRUPTED))
            else:
                job.end(now, error=f"{INTERRUPTED} before anything ran")
                self._feed(inputs.Withdraw(request=job.request))

    def _leave(self) -> None:
        """Release all that is held, as far as that can be said: what runs is killed then."""
        for job in self._jobs.values():
            if not job.is_over:
                self._feed(inputs.Done(request=job.request))
        self._mail.leave()

    # -- who answers ---------------------------------------------------------------------------------------------------

    def _check(self, message: AnyMessage | None) -> None:
        """Raises `NotBelieved` for another agent than the one that was told the offer, whatever ticket it has."""
        if isinstance(message, (Claim, Resume, Accept)):
            job = self._jobs.get(message.request)
            if job is None or not job.is_from(message.address) or message.instance != job.instance:
                raise NotBelieved(f"{message.request} is not for agent {message.agent} at {message.address}")

    def _look(self, now: float) -> None:
        """At agents that have not answered."""
        if now < self._look_at:
            return
        self._look_at = now + TURN
        waiting = [job for job in self._jobs.values() if not job.is_over and job.holder is None]
        if not waiting:
            return
        assert self._survey is not None
        heard = {job.whose: job for job in waiting}
        for status in self._survey.agents:
            job = heard.get(whose(status))
            if job is not None and job.address != status.address:
                job.address, job.call_at = status.address, 0.0
        for job in waiting:
            if now - self._began > self._wait:
                job.end(now, error=f"it has not taken the command within {self._wait:g} s")
                self._feed(inputs.Withdraw(request=job.request))
            elif job.offer is not None and now >= job.call_at:
                job.call_at = now + DIRECT_AGAIN
                self._mail.offer(job.address, job.offer)

    # -- the machine ---------------------------------------------------------------------------------------------------

    def _feed(self, event: inputs.Input) -> None:
        """Hand it to the machine; from within an action: after that action's batch."""
        assert self._machine is not None
        self._inputs.append(event)
        if self._working:
            return
        self._working = True
        try:
            while self._inputs:
                for action in self._machine.handle(self._inputs.popleft(), time.monotonic()):
                    self._carry_out(action)
        finally:
            self._working = False

    def _carry_out(self, action: actions.Action) -> None:
        if isinstance(action, _FOR_THE_LINK):
            self._publish(action)
        elif isinstance(action, _FOR_A_JOB):
            job = self._jobs.get(action.request)
            if job is not None:
                self._for_job(action, job)
        elif isinstance(action, actions.Ack):
            self._mail.acknowledge(action.delivery)
        elif isinstance(action, actions.DeadLetter):
            log.warning("operators_message_rejected", account=action.user, reason=action.reason)
        elif isinstance(action, actions.ForgetSeal):
            self._mail.forget_seal(action.session)
        elif isinstance(action, actions.CheckRequest):
            self._inputs.append(inputs.RequestChecked(request=action.request, complete=True))
        elif isinstance(action, actions.Alarm):
            log.warning(action.event, detail=action.detail, request=action.request)
        elif not isinstance(action, _NOTHING):
            assert_never(action)

    def _publish(self, action: ForTheLink) -> None:
        if isinstance(action, actions.PublishOffer):
            job = self._jobs.get(action.offer.request)
            if job is not None:
                job.offer = action.offer.model_copy(update={"direct": True, "ask": True})
                job.call_at = time.monotonic() + DIRECT_AGAIN
                self._mail.offer(job.address, job.offer)
        elif isinstance(action, actions.Send):
            self._mail.send(action.message, action.address, action.terms)
        else:
            self._mail.mark(action.message)

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def _for_job(self, action: ForAJob, job: Job) -> None:
        now = time.monotonic()
        if isinstance(action, actions.Attach):
            self._go_on(job, job.attached(action.holder, now))
        elif isinstance(action, actions.Deliver):
            order = job.event(action.event, now)
            self._inputs.append(inputs.EventStored(session=action.event.session, seq=action.event.seq))
            if not job.runs:
                self._go_on(job, order)
        elif isinstance(action, actions.ServeData):
            self._serve(job, action)
        elif isinstance(action, (actions.Lost, actions.Abandoned)):
            job.end(now, error=f"{action.reason}; what it was doing there is ended", is_lost=True)
        elif action.state == "missing":
            self._say(f"{job.agent} is not connected; waiting up to {DIRECT_PATIENCE:g} s for it")

    def _go_on(self, job: Job, order: Order | None) -> None:
        """With the next order; with none the session is over."""
        assert self._machine is not None
        now = time.monotonic()
        if order is not None and job.is_interrupted:
            job.end(now, error=INTERRUPTED)
            order = None
        if order is not None:
            try:
                prepared = order.prepared()
            except StepFailed as error:
                job.end(now, error=str(error))
            else:
                job.started(order, self._machine.next_n(job.request))
                self._inputs.append(inputs.StartCommand(request=job.request, command=prepared))
                return
        self._inputs.append(inputs.Done(request=job.request))

    def _serve(self, job: Job, action: actions.ServeData) -> None:
        try:
            found = job.read(action.n, action.offset, action.length)
        except OSError as error:
            self._inputs.append(
                inputs.InterruptCommand(request=job.request, n=action.n, reason=f"{error.filename}: {error.strerror}")
            )
            return
        if found is None:
            return
        data, size = found
        message = Data(
            session=action.session,
            incarnation=self._incarnation,
            n=action.n,
            offset=action.offset,
            size=size,
            data=data,
        )
        self._mail.send(message, action.address, action.terms)
