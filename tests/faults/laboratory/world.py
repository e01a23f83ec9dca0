"""A running system that anything may happen to: one broker, two masters, agents near and behind a cable of their own.

Each `f_…` is one kind of fault, and leaves the system whole again. What has no place here has a test of its own: the
loss of a cluster's node (this is one node), and a full disk of the master's, where Buildbot's own bookkeeping of builds
that begin and end meanwhile fails.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import worker_agent
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.ports import free_ports
from tests.faults.laboratory import masters, processes
from tests.faults.laboratory.cancelling import CancellingProxy
from tests.faults.laboratory.control_group import ControlGroup
from tests.faults.laboratory.full_disk import file_system, fill
from tests.faults.laboratory.lab import Lab
from tests.faults.laboratory.namespace import Namespace
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

#: How often the broker looks for deliveries that were held too long; its own 60 s would be a round.
TICK = "[{rabbit,[{channel_tick_interval,2000}]}].\n"
TAKEN_BACK = "timed out waiting for"
NEAR = 3


class World:
    """To be entered. `masters` are started by the test, with `masters_url`; `force` starts one more build of `b`."""

    def __init__(
        self, folder: Path, database: Path, chance: random.Random, force: Callable[[BuildMaster], object]
    ) -> None:
        self.folder = folder
        self.chance = chance
        self.masters: list[BuildMaster] = []
        #: builds of `config` that faults began: master and request
        self.begun: list[tuple[BuildMaster, int]] = []
        self.lab: Lab
        self.far: Agent | None = None
        self._database = database
        self._force = force
        self._serial = 0
        self._parts = contextlib.ExitStack()

    def __enter__(self) -> World:
        try:
            self._namespace = self._parts.enter_context(Namespace())
            (self._far_port,) = free_ports(1)
            far = {"listeners.tcp.2": f"{self._namespace.host}:{self._far_port}", "loopback_users": "none"}
            self.node = self._parts.enter_context(RabbitMQNode(self.folder / "rabbitmq", config=far, advanced=TICK))
            self.lab = Lab(self.folder / "lab", self.node, "/", self._database)
            self._to_agents = self._parts.enter_context(CancellingProxy(self.node.port))
            self._to_masters = self._parts.enter_context(CancellingProxy(self.node.port))
            self._site = self.folder / "site"
            source = Path(worker_agent.__file__).parents[1]
            for package in ("worker_agent", "contracts"):
                ignored = shutil.ignore_patterns("__pycache__", "*cache*")
                shutil.copytree(source / package, self._site / package, ignore=ignored)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "lab"):
            self.lab.end()
        self._parts.close()

    def start_agents(self) -> None:
        for _ in range(NEAR):
            self.new_agent()
        self._new_far()

    @property
    def masters_url(self) -> str:
        return self._to_masters.url(self.lab.url)

    def faults(self) -> list[str]:
        return sorted(name[2:] for name in dir(self) if name.startswith("f_"))

    # -- agents -------------------------------------------------------------------------------------------------------

    def new_agent(self) -> Agent:
        """On a disk of its own, in a control group: what fills those up fills no other's."""
        self._serial += 1
        name = f"r{self._serial}"
        group = self._parts.enter_context(ControlGroup(memory=600 * 2**20, processes=100))
        return self._agent(name, self._to_agents.url(self.lab.url), group.prefix, ["gtk", "small"])

    def _new_far(self) -> Agent:
        self._serial += 1
        address = self.node.url.replace(f"127.0.0.1:{self.node.port}", f"{self._namespace.host}:{self._far_port}")
        self.far = self._agent(f"far{self._serial}", address, self._namespace.prefix, ["gtk"])
        return self.far

    def _agent(self, name: str, url: str, prefix: tuple[str, ...], capabilities: list[str]) -> Agent:
        self._parts.enter_context(file_system(self.lab.folder / f"agent-{name}" / "state", 256))
        start = (
            f"import sys; sys.path.insert(0, {str(self._site)!r}); from worker_agent.program.cli import main; main()"
        )
        return self.lab.agent(
            name,
            url=url,
            prefix=prefix,
            capabilities=capabilities,
            options=["--min-free-disk=16MiB", "--cache-free-disk=0", "--min-free-temp=0"],
            program=(sys.executable, "-c", start),
        )

    def _any(self, *, near: bool = False) -> Agent:
        return self.chance.choice(
            [each for each in self.lab.agents if each.running and not (near and each is self.far)]
        )

    def _start(self, agent: Agent) -> None:
        """Again; signals reach it once it says who it is."""
        agent.start()
        wait_for(lambda: f"pid={agent.pid} " in agent.log(), 60, lambda: f"started:\n{agent.log()[-2000:]}")

    def _power_off(self, agent: Agent) -> None:
        processes.kill_all(lambda: processes.tree(agent.pid))
        agent.kill_main()

    def _pause(self, least: float, most: float) -> None:
        seconds = self.chance.uniform(least, most)
        until = time.monotonic() + seconds
        wait_for(lambda: time.monotonic() > until, seconds + 5, "a pause")

    # -- faults of agents ---------------------------------------------------------------------------------------------

    def f_agent_killed(self) -> None:
        agent = self._any()
        self._power_off(agent)
        self._start(agent)

    def f_agent_killed_for_good(self) -> None:
        self._power_off(self._any(near=True))
        self.new_agent()

    def f_main_killed(self) -> None:
        agent = self._any()
        agent.kill_main()
        self._start(agent)

    def f_main_killed_for_good(self) -> None:
        self._any(near=True).kill_main()
        self.new_agent()

    def f_agent_restarted(self) -> None:
        os.kill(self._any().pid, signal.SIGUSR2)

    def f_agent_upgraded(self) -> None:
        self._serial += 1
        (self._site / "contracts/operations/program_version.py").write_text(
            f'def version() -> str:\n    return "99.{self._serial}"\n'
        )
        os.kill(self._any().pid, signal.SIGUSR2)

    def f_agent_stands_still(self) -> None:
        agent = self._any()
        frozen = processes.freeze(lambda: processes.tree(agent.pid))
        self._pause(1, 40)
        processes.thaw(frozen)

    def f_agents_main_stands_still(self) -> None:
        agent = self._any()
        frozen = processes.freeze(lambda: processes.tree(agent.pid)[:1])
        self._pause(1, 40)
        processes.thaw(frozen)

    def f_agents_disk_full(self) -> None:
        filled = fill(self._any().folder / "state", leave=0)
        self._pause(3, 12)
        filled.unlink()

    def f_out_of_memory(self) -> None:
        self._once("eater")

    def f_process_limit(self) -> None:
        self._once("forker")

    def _once(self, builder: str) -> None:
        """The first run of this builder's command takes all that there is; the flag tells it that it is the first."""
        flag = self.flag(builder)
        flag.touch()
        self.begun.append((self.masters[0], self.masters[0].force(builder)))
        wait_for(lambda: not flag.exists(), 180, lambda: f"{builder} began:\n{self.lab.story()}")

    # -- faults of links ----------------------------------------------------------------------------------------------

    def f_links_reset(self) -> None:
        for proxy in self._some_links():
            proxy.reset()

    def f_links_cut(self) -> None:
        proxies = self._some_links()
        for proxy in proxies:
            proxy.cut()
        self._pause(0.5, 8)
        for proxy in proxies:
            proxy.heal()

    def _some_links(self) -> list[CancellingProxy]:
        return self.chance.choice([[self._to_agents], [self._to_masters], [self._to_agents, self._to_masters]])

    def f_partition_short(self) -> None:
        self._partition(1, 4)

    def f_partition_long(self) -> None:
        self._partition(30, 45)

    def _partition(self, least: float, most: float) -> None:
        self._namespace.cut()
        self._pause(least, most)
        self._namespace.heal()

    # -- faults of the broker -----------------------------------------------------------------------------------------

    def f_broker_killed(self) -> None:
        self.node.kill()
        self.node.restart()

    def f_broker_stopped(self) -> None:
        self.node.stop()
        self._pause(5, 30)
        self.node.restart()

    def f_disk_alarm(self) -> None:
        self.node.ctl("set_disk_free_limit", "1000000GB")
        self._pause(3, 12)
        self.node.ctl("set_disk_free_limit", "50MB")

    def f_consumer_timeout(self) -> None:
        """A channel reads its time-out when it is opened, so the links are made anew; then it must strike."""
        before = self._taken_back()
        self._set_consumer_timeout(1000)
        self._force(self.masters[0])
        wait_for(lambda: self._taken_back() > before, 60, lambda: f"a delivery is taken back:\n{self.lab.story()}")
        self._set_consumer_timeout(1_800_000)

    def _set_consumer_timeout(self, milliseconds: int) -> None:
        self.node.ctl("eval", f"application:set_env(rabbit, consumer_timeout, {milliseconds}).")
        self._to_agents.reset()
        self._to_masters.reset()

    def _taken_back(self) -> int:
        return self.node.log_tail(1_000_000).count(TAKEN_BACK)

    def f_consumers_cancelled(self) -> None:
        for queue in ("events.m1", "claims.m1"):
            self._to_masters.cancel(queue)
        self._to_agents.cancel("cap.gtk")

    # -- faults of masters --------------------------------------------------------------------------------------------

    def f_master_killed(self) -> None:
        self.masters[0].kill()
        self._pause(0, 15)
        self.masters[0].start()

    def f_master_stopped(self) -> None:
        self.masters[0].stop()
        self._pause(0, 15)
        self.masters[0].start()

    def f_master_upgraded(self) -> None:
        masters.upgraded(self.masters[0])

    def f_other_master_killed(self) -> None:
        """With offers in the queue that both share."""
        other = self.masters[1]
        for _ in range(3):
            self._force(other)
        other.kill()
        self._pause(3, 10)
        other.start()

    # -- what the test asks -------------------------------------------------------------------------------------------

    def flag(self, builder: str) -> Path:
        return self.folder / f"first-{builder}"

    def config(self) -> str:
        """Builders of what exhausts a machine, the first time after their flag was put up."""
        eater, forker = self.flag("eater"), self.flag("forker")
        eat = f"import os, pathlib; p = pathlib.Path({str(eater)!r}); n = 2**30 if p.exists() else 1; "
        eat += "p.unlink(missing_ok=True); print(len(bytearray(n)))"
        fork = f"if rm {forker} 2>/dev/null; then for i in $(seq 200); do sleep 5 & done; fi; echo fine"
        config = (
            "small_slots = worker.amqp_column('small', workers=1, requires=['small'])\nc['workers'] += small_slots\n"
        )
        for builder, command in (("eater", [sys.executable, "-c", eat]), ("forker", ["sh", "-c", fork])):
            config += f"builder({builder!r}, small_slots, steps.ShellCommand(name='it', command={command!r}))\n"
        return config
