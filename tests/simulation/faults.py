"""Carries out one fault of a plan against the world, and undoes it after its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.hosts.agent_host import AgentHost, copy_of
from tests.simulation.hosts.master_host import MasterHost
from tests.simulation.ledger import Violation
from tests.simulation.strangers import send_again, send_strange
from worker_agent.core import inputs

if TYPE_CHECKING:
    from tests.simulation.hosts.buildbot import Job
    from tests.simulation.hosts.operator_host import OperatorHost
    from tests.simulation.plan import Fault
    from tests.simulation.world import World


def strike(world: World, fault: Fault) -> None:
    world.note("fault", str(fault))
    getattr(_Strikes(world, fault), fault.kind)()


class _Strikes:
    """One method a kind of fault."""

    def __init__(self, world: World, fault: Fault) -> None:
        self.world = world
        self.fault = fault

    @property
    def agent(self) -> AgentHost:
        return self.world.agents[self.fault.target % len(self.world.agents)]

    @property
    def master(self) -> MasterHost:
        return self.world.masters[self.fault.target % len(self.world.masters)]

    def later(self, undo: Callable[[], object]) -> None:
        def undone() -> None:
            self.world.note("fault", f"#{self.fault.index} {self.fault.kind} ends")
            undo()

        self.world.clock.call_later(self.fault.lasts, undone)

    # ---- links

    def cut_agent(self) -> None:
        self.agent.cut()
        self.later(self.agent.heal)

    def half_cut_agent(self) -> None:
        inwards = self.fault.detail < 0.5
        self.agent.cut(to_server=not inwards, to_client=inwards)
        self.later(self.agent.heal)

    def cut_master(self) -> None:
        self.master.cut()
        self.later(self.master.heal)

    def half_cut_master(self) -> None:
        inwards = self.fault.detail < 0.5
        self.master.cut(to_server=not inwards, to_client=inwards)
        self.later(self.master.heal)

    def reset_agent(self) -> None:
        self._reset(self.agent)

    def reset_master(self) -> None:
        self._reset(self.master)

    # ---- operators

    def kill_operator(self) -> None:
        """SIGKILL: nobody else asks for what it had begun."""
        for operator in self._operators():
            operator.kill()

    def cut_operator(self) -> None:
        for operator in self._operators():
            operator.cut()
            self.later(operator.heal)

    def reset_operator(self) -> None:
        for operator in self._operators():
            self._reset(operator)

    def _operators(self) -> list[OperatorHost]:
        """One of those that run."""
        running = [operator for operator in self.world.operators if operator.machine is not None]
        return [running[self.fault.target % len(running)]] if running else []

    def _reset(self, host: AgentHost | MasterHost) -> None:
        if host.link is not None:
            connections = host.link.connections
            which = int(self.fault.detail * 3)
            for connection in connections if which >= len(connections) else connections[which : which + 1]:
                connection.reset()

    def stale_agent(self) -> None:
        self._stale(self.agent)

    def stale_master(self) -> None:
        self._stale(self.master)

    def _stale(self, host: AgentHost | MasterHost) -> None:
        """A firewall forgets one connection: that one is cut, others work, new ones do, too."""
        connections = host.link.connections if host.link is not None else []
        if connections:
            connection = connections[int(self.fault.detail * len(connections))]
            connection.cut()
            self.later(connection.heal)

    # ---- agents

    def kill_agent(self) -> None:
        self.agent.kill_all()
        self.later(self.agent.start)

    def wipe_agent(self) -> None:
        self.agent.kill_all(wipe=True)
        self.later(self.agent.start)

    def power_off_agent(self) -> None:
        """No goodbye to the broker, and what was written last is not on the disk."""
        self.agent.power_off(lose=int(self.fault.detail * 4))
        self.later(self.agent.start)

    def no_processes(self) -> None:
        """A process table that is full: keepers end as soon as they start."""
        agent = self.agent
        agent.starts_keepers = False

        def again() -> None:
            agent.starts_keepers = True

        self.later(again)

    def restart_agent(self) -> None:
        self.agent.kill_main()
        self.later(self.agent.start)

    def kill_keeper(self) -> None:
        keepers = [keeper for _, keeper in sorted(self.agent.keepers.items()) if keeper.alive]
        if keepers:
            keepers[int(self.fault.detail * len(keepers))].kill("killed by signal 9")

    def oom(self) -> None:
        for _, keeper in sorted(self.agent.keepers.items()):
            keeper.out_of_memory()

    def freeze_agent(self) -> None:
        self.agent.freeze()
        self.later(self.agent.thaw)

    def copy_agent(self) -> None:
        """Its state folder is copied to another machine, where an agent starts; it takes no work of its own."""
        copy = copy_of(self.agent)
        self.world.copies.append(copy)
        copy.start()
        copy.feed(copy.process, inputs.Pause())
        self.later(lambda: copy.retire(power_off=self.fault.detail < 0.5))

    def move_agent(self) -> None:
        """To the other place; back, or on to it, is another fault."""
        self.agent.move(to_office=not self.agent.at_office)

    def drain_agent(self) -> None:
        """Drained; taken back unless it has ended by then, in which case it is started."""
        agent = self.agent
        agent.feed(agent.process, inputs.Leave())
        self.later(lambda: self._undrain(agent))

    def _undrain(self, agent: AgentHost) -> None:
        if agent.machine is None:
            agent.start()
        else:
            agent.feed(agent.process, inputs.ResumeWork())

    def stop_agent(self) -> None:
        self.agent.feed(self.agent.process, inputs.Stop())
        self.later(lambda: self._after_stop(self.agent))

    def _after_stop(self, agent: AgentHost) -> None:
        if agent.machine is not None and not agent.frozen:
            agent.kill_all()  # systemd loses its patience
        agent.start()

    def unwell_agent(self) -> None:
        agent = self.agent
        agent.wellness("disk: 1 GB free, 5 GB wanted")
        self.later(agent.wellness)

    # ---- masters

    def kill_master(self) -> None:
        self.master.kill()
        self.later(self.master.start_again)

    def power_off_master(self) -> None:
        self.master.kill(power_off=True)
        self.later(self.master.start_again)

    def bury_master(self) -> None:
        """The first master dies, with 20 offers in the queue (run.py puts them there)."""
        self.world.masters[0].kill()
        self.later(self.world.masters[0].start_again)

    def quick_stop(self) -> None:
        self.master.quick_stop()
        self.later(self.master.start_again)

    def stall_master(self) -> None:
        """The database does not answer."""
        if self.master.buildbot is not None:
            self.master.buildbot.stalled_until = self.world.clock.now + min(self.fault.lasts, 20.0)

    def _job(self) -> tuple[MasterHost, Job] | None:
        jobs = [(m, job) for m in self.world.masters for job in m.jobs.values() if job.result is None and job.runs]
        return jobs[self.fault.target % len(jobs)] if jobs else None

    def stop_job(self) -> None:
        found = self._job()
        if found is not None and found[0].buildbot is not None:
            found[0].buildbot.stop(found[1])

    def reroute_job(self) -> None:
        found = self._job()
        if found is not None and found[0].buildbot is not None:
            signatures = self.world.plan.signatures
            found[0].buildbot.reroute(found[1], signatures[int(self.fault.detail * len(signatures))])

    def twin_master(self) -> None:
        """Somebody configures a second master under the name of the first."""
        world, first = self.world, self.master
        twin = MasterHost(world, first.name, signatures=first.signatures, label=f"{first.name}-twin{len(world.twins)}")
        world.twins.append(twin)
        twin.start()

        def must_have_stopped() -> None:
            if not twin.was_duplicate:
                raise Violation("a second master of one name stops itself", f"{twin.label} runs")

        self.later(must_have_stopped)

    # ---- strangers

    def strange_messages(self) -> None:
        send_strange(self.world, self.fault)

    def replayed_messages(self) -> None:
        send_again(self.world, self.fault)

    # ---- broker

    def purge_queue(self) -> None:
        """An operator purges a queue of offers: whoever waits in it is offered again some time."""
        names = self.world.cap_queues
        if self.world.broker.up and names:
            self.world.broker.queues[names[self.fault.target % len(names)]].purge()

    def kill_broker(self) -> None:
        self._kill_broker(lose_flags=False)

    def kill_broker_lose_flags(self) -> None:
        self._kill_broker(lose_flags=True)

    def _kill_broker(self, *, lose_flags: bool) -> None:
        if self.world.broker.up:
            self.world.broker.kill(lose_flags=lose_flags)
            self.later(self.world.broker.start)

    def lose_leaders(self) -> None:
        """Of a cluster's quorum queues; the node that led them is gone, the connections are to another."""
        self.world.broker.lose_leaders()

    def block_broker(self) -> None:
        if self.world.broker.up:
            self.world.broker.block(True)
            self.later(lambda: self.world.broker.block(False))

    def consumer_timeout(self) -> None:
        self.world.broker.time_out_consumers(self.fault.lasts / 4)
