"""The agent's parts beside its loop and its machine: made once, from the settings, and wired to the loop's inbox."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Union

from worker_agent.agent.checks import Checks
from worker_agent.agent.errands import ByUser, Here
from worker_agent.agent.health import Health, Least, PatientHealth
from worker_agent.agent.instance import Instance
from worker_agent.agent.introduction import Introduction
from worker_agent.agent.lifetime import Lifetime
from worker_agent.agent.moving import Moving, ways
from worker_agent.agent.pause import PauseFile
from worker_agent.agent.queues import QueueKnowledge
from worker_agent.capabilities.abilities import Abilities
from worker_agent.capabilities.probing import Probing
from worker_agent.core import actions, inputs
from worker_agent.keeper.giving_back import Program
from worker_agent.keeper.second_user import SecondUser
from worker_agent.keepers.builddirs import BuildDirs
from worker_agent.keepers.journal_reader import JournalFiles
from worker_agent.keepers.sessions import Sessions
from worker_agent.link.link import Link
from worker_agent.link.options import LinkOptions, link_options
from worker_agent.link.port import LinkListener
from worker_agent.link.seals import Seals
from worker_agent.program.settings import Settings
from worker_agent.reporting.figures import Figures
from worker_agent.reporting.info import Information
from worker_agent.reporting.traces import AgentTraces

#: What the loop takes: an input for the machine, or something to be called in its turn.
Inbox = Union[inputs.Input, Callable[[], None]]


@dataclass(frozen=True, kw_only=True)
class Tells:
    """Whom the parts tell what happens."""

    #: the loop's inbox
    put: Callable[[Inbox], None]
    #: what a self-check found: reasons against new work; called in the loop's turn
    unwell: Callable[[tuple[str, ...]], None]
    #: capabilities came or went
    abilities: Callable[[], None]
    #: somebody asks for the agent's status
    asked: Callable[[], None]


class Parts:
    """Raises what the link's options raise for settings that cannot be used."""

    def __init__(
        self,
        settings: Settings,
        instance: Instance,
        user: SecondUser | None,
        tells: Tells,
        traces: AgentTraces | None = None,
        give_back: Program | None = None,
    ) -> None:
        """`user`: runs the commands, where that is another than the agent's own. `traces` None: nobody wants them.

        `give_back`: what a keeper is to start where this process is killed."""
        self._settings = settings
        self._tells = tells
        self.figures = Figures()
        self._traces = traces
        self.errands: Here | ByUser = Here() if user is None else ByUser(user)
        self.abilities = Abilities(settings, user, self.errands)
        self.builddirs = BuildDirs(settings.basedir, keep_free=int(settings.cache_free_disk), errands=self.errands)
        self.information = Information(settings, self.builddirs.slot_folder, user)
        self.introduction = Introduction(self.information, self.abilities.capabilities)
        self.journal = JournalFiles(settings.state)
        self.sessions = Sessions(
            settings.state,
            self.builddirs,
            self.journal,
            on_input=tells.put,
            encoding=settings.encoding,
            run_as="" if user is None else user.name,
            keeper_ready=self._keeper_ready,
            give_back=give_back,
            slots=settings.slots,
        )
        configured = link_options(settings)
        self.link = self._link(instance, configured)
        self.moving = Moving(settings.state, configured, self.link, instance.uuid)
        self.queues = self._queues()
        self.checks = self._checks()
        self.probing = Probing(self.abilities, every=settings.probe_interval, changed=tells.abilities)
        self.seals = Seals()
        self.pause = PauseFile(settings.state)
        self.lifetime = Lifetime(
            now=asyncio.get_running_loop().time(),
            after_idle=settings.exit_after_idle,
            after_build=settings.exit_after_build,
            max_uptime=settings.max_uptime,
        )

    def saw(self, what: inputs.Input, now: float) -> None:
        """For those who watch: the machine is about to be told this. `now`: monotonic seconds."""
        wall = time.time()
        self.figures.saw(what, now, wall)
        if self._traces is not None:
            self._traces.saw(what, wall)

    def did(self, wanted: Iterable[actions.Action], now: float) -> None:
        """As `saw`: the machine wants these."""
        for action in wanted:
            self.figures.did(action, now)
            if self._traces is not None:
                self._traces.did(action, time.time())

    def _keeper_ready(self, session: str) -> None:
        if self._traces is not None:
            self._traces.keeper_ready(session, time.time())

    def _link(self, instance: Instance, configured: LinkOptions) -> Link:
        put = self._tells.put
        return Link(
            ways(configured, self._settings.state),
            instance=instance.uuid,
            agent=self._settings.name,
            next_epoch=instance.next_epoch,
            listener=LinkListener(
                on_input=put,
                queue_gone=lambda queue: put(lambda: self.queues.gone(queue)),
                sent_to_dead=self.figures.sent_to_dead,
                asked=self._tells.asked,
                hold=self.sessions.hold_link,
            ),
        )

    def _queues(self) -> QueueKnowledge:
        return QueueKnowledge(
            self._settings.state / "catalogue.json",
            capabilities=self.abilities.capabilities,
            plain=self.abilities.named,
            existing=self.link.existing,
            changed=lambda queues: self._tells.put(inputs.QueuesKnown(queues=queues)),
        )

    def _checks(self) -> Checks:
        settings, tells = self._settings, self._tells
        least = Least(
            disk=int(settings.min_free_disk), temp=int(settings.min_free_temp), memory=int(settings.min_free_memory)
        )
        health = Health(least, settings.basedir, settings.state, errands=self.errands)
        return Checks(
            PatientHealth(lambda: health.check() + self.builddirs.trouble() + self.introduction.reasons()),
            self.abilities,
            unwell=lambda reasons: tells.put(partial(tells.unwell, reasons)),
            not_able=self.queues.capabilities_changed,
            checked=tells.put,
        )
