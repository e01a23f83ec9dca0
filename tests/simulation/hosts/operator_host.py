"""An operator's program: a master for one call, which tells one agent what to do (docs/protocol.md, rule 26)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.messages import Accept, Claim, Offer, Resume
from contracts.timing import DIRECT_AGAIN, DIRECT_PATIENCE
from contracts.topology import OPERATORS_PREFIX
from master_bridge.core import actions, inputs
from tests.simulation.hosts.buildbot import Build, Buildbot, Job
from tests.simulation.hosts.master_host import MasterHost

if TYPE_CHECKING:
    from tests.simulation.hosts.agent_host import AgentHost
    from tests.simulation.plan import OperatorPlan
    from tests.simulation.world import World

#: Seconds for an agent to take it.
WAIT = 60.0
#: … and for what was said last to be on its way before the program ends.
GOODBYE = 1.0
#: Nobody but this program has its sessions.
_NOTHING = (actions.Broadcast, actions.SweepOffers, actions.DeadOffer, actions.CancelledEarlier)


class Operator(Buildbot):
    """In Buildbot's place: has its commands run once, and tries nothing again."""

    def start(self) -> None:
        for job in self.host.jobs.values():
            self.seek(job)
            self._later(WAIT, self._give_up, job)

    def _give_up(self, job: Job) -> None:
        build = self.builds.get(job.request)
        if build is not None and build.state == "seeking":
            self._finish(build, "CANCELLED", inputs.Withdraw(request=job.request))

    def _lost(self, build: Build, action: actions.Lost) -> None:
        if self._world.mutant.tries_again:
            super()._lost(build, action)
            return
        self._world.ledger.given_up.setdefault(action.session, "lost")
        self._finish(build, "EXCEPTION", None)

    def _again(self, job: Job) -> None:
        """What a machine failed at is told, and not tried elsewhere."""
        if self._world.mutant.tries_again:
            super()._again(job)
        else:
            job.result = "EXCEPTION"

    def is_told(self, job: Job) -> bool:
        """Nobody has taken it yet."""
        build = self.builds.get(job.request)
        return build is not None and build.state == "seeking"


class OperatorHost(MasterHost):
    """`target`: whom it tells its one job."""

    def __init__(self, world: World, planned: OperatorPlan, target: AgentHost) -> None:
        super().__init__(world, f"{OPERATORS_PREFIX}{planned.index + 1}", signatures=())
        self.target = target
        #: … as its program sees it
        others = [agent for agent in world.agents if agent is not target]
        self.told = others[0] if others and world.mutant.tells_another else target
        self.instance = self.told.instance
        request = f"{self.name}/1"
        self.job = Job(
            request=request,
            kind="build",
            signature="any",
            script=planned.script,
            fencing=DIRECT_PATIENCE,
            seal=planned.seal,
        )
        self.jobs[request] = self.job
        self._offer: Offer | None = None

    def _make_buildbot(self) -> Buildbot:
        return Operator(self, self.process)

    @property
    def is_over(self) -> bool:
        return self.machine is None and self.process > 0

    def feed(self, process: int, news: inputs.Input) -> None:
        if isinstance(news, inputs.Returned) and isinstance(news.message, Offer):
            return  # it is said again
        message = news.message if isinstance(news, inputs.MessageReceived) else None
        if isinstance(message, (Claim, Resume, Accept)) and message.instance != self.instance:
            assert self.link is not None
            assert isinstance(news, inputs.MessageReceived)
            self.link.carry_out(actions.Ack(delivery=news.delivery))
            return
        super().feed(process, news)
        if self.job.result is not None and process == self.process:
            self.world.clock.call_later(GOODBYE, self._ends, process)

    def _ends(self, process: int) -> None:
        if process == self.process:
            self.kill()

    def _do(self, action: actions.Action) -> None:
        if isinstance(action, actions.PublishOffer):
            self._offer = action.offer.model_copy(update={"direct": True, "ask": True})
            self._tell(self.process)
        elif not isinstance(action, _NOTHING):
            super()._do(action)

    def _tell(self, process: int) -> None:
        """As long as nobody has taken it, where the agent was heard last."""
        buildbot: Any = self.buildbot
        if process != self.process or self._offer is None or not buildbot.is_told(self.job):
            return
        link = self.told.link
        if link is not None and self.link is not None and self.link.up:
            self.world.note(self.name, f"tells {self.told.name} {self._offer.offer}")
            self.link.tell(link.address, self._offer)  # type: ignore[union-attr]  # it is at the broker
        self.world.clock.call_later(DIRECT_AGAIN, self._tell, process)
