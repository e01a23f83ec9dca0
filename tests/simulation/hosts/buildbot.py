"""A model Buildbot: build requests that survive in a database, builds that do not survive the master.

Does what Buildbot 4.3 does where the bridge can see it: a lost connection makes a build RETRY and the request runs
again; a restarted master runs every unfinished request again from its first command; a build that the user stops is
CANCELLED and does not run again; what an event brings is stored in order, each after a while.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from contracts.digest import command_digest
from contracts.messages import Data, Event
from contracts.testing.clock import Timer
from contracts.timing import LIVES
from master_bridge.core import actions, inputs
from tests.simulation.ledger import Violation

if TYPE_CHECKING:
    from tests.simulation.hosts.master_host import MasterHost

Result = Literal["SUCCESS", "FAILURE", "CANCELLED", "EXCEPTION"]
#: An interrupted command that does not complete in this time: Buildbot's side drops the connection.
INTERRUPT_DEADLINE = 5.0
#: A build that is tried more often than this is fed to a machine that loses them all.
RUNS_MAX = 20
_PULLED = b"d" * (256 * 1024)


@dataclass(kw_only=True)
class Job:
    """A build request, or a step's command offer, as the database has it."""

    request: str
    kind: Literal["build", "command"]
    signature: str
    #: arguments of the model commands, in order
    script: tuple[dict[str, Any], ...]
    fencing: float | None = None
    priority: int = 0
    #: its commands' arguments contain the build number: a restarted build diverges
    renders_run: bool = False
    #: a step of another build waits for it: Buildbot cancels it when the master stops
    waited_for: bool = False
    #: what is said of it is sealed (rule 24)
    seal: bool = False
    result: Result | None = None
    stop_wanted: bool = False
    #: Buildbot's build ids so far
    runs: list[int] = field(default_factory=list)
    #: (time of Seek, time of Attach or None) per run
    waits: list[list[float | None]] = field(default_factory=list)

    @property
    def scripted(self) -> Result:
        return "FAILURE" if any(command["rc"] for command in self.script) else "SUCCESS"

    def command(self, index: int, run: int) -> inputs.PreparedCommand:
        args = dict(self.script[index], id=f"{self.request}/{index + 1}")
        if self.renders_run:
            args["run"] = run
        return inputs.PreparedCommand(name="shell", args=args, digest=command_digest("shell", args))


@dataclass(kw_only=True)
class Build:
    """One run of a job in one process."""

    job: Job
    run: int
    state: Literal["seeking", "attached", "over"] = "seeking"
    session: str | None = None
    #: commands started, and whether the last is complete
    started: int = 0
    running: bool = False
    rcs: list[int] = field(default_factory=list)
    delivered: int = 0
    #: commands whose completion was delivered
    completed: int = 0
    storing: deque[Event] = field(default_factory=deque)
    interrupted: bool = False
    interrupt: Timer | None = None


class Buildbot:
    def __init__(self, host: MasterHost, process: int) -> None:
        self.host = host
        self.process = process
        self.builds: dict[str, Build] = {}
        #: the database does not answer until then
        self.stalled_until = 0.0
        self._world = host.world
        self._clock = host.world.clock
        #: `buildbot stop` is under way
        self.stopping = False

    # ---- from above: users, starts and stops

    def start(self) -> None:
        for job in self.host.jobs.values():
            if job.result is None:
                self._later(self._world.between(0.2, 4.0), self.seek, job)

    def seek(self, job: Job) -> None:
        """The request gets a build, which wants an agent."""
        if job.result is not None or self.stopping or job.request in self.builds:
            return
        self.host.last_run += 1
        run = self.host.last_run
        job.runs.append(run)
        if len(job.runs) > RUNS_MAX:
            raise Violation("no machine burns builds", f"{job.request} begins for the {len(job.runs)}th time")
        job.waits.append([self._clock.now, None])
        self.builds[job.request] = Build(job=job, run=run)
        self._world.note(self.host.name, f"Buildbot: {job.request} run {run} seeks an agent")
        commands = tuple(job.command(i, run) for i in range(len(job.script))) if job.kind == "command" else ()
        self._tell(
            inputs.Seek(
                request=job.request,
                run=run,
                kind=job.kind,
                signature=job.signature,
                builddir="builder",
                title=job.request,
                priority=job.priority,
                fencing=job.fencing,
                seal=job.seal,
                commands=commands,
                repeated=len(job.runs) > 1,
            )
        )

    def stop(self, job: Job) -> None:
        """A user presses Stop."""
        build = self.builds.get(job.request)
        if job.result is not None or build is None:
            return
        self._world.note(self.host.name, f"Buildbot: user stops {job.request}")
        job.stop_wanted = True
        if build.state == "seeking":
            self._finish(build, "CANCELLED", inputs.Withdraw(request=job.request))
        elif build.running:
            build.interrupted = True
            build.interrupt = self._later(INTERRUPT_DEADLINE, self._interrupt_failed, build)
            n = len(build.rcs) + 1
            self._tell(inputs.InterruptCommand(request=job.request, n=n, reason="stopped by user"))
        else:
            self._finish(build, "CANCELLED", inputs.Done(request=job.request))

    def reroute(self, job: Job, signature: str) -> None:
        """A reconfig changes what the job requires."""
        job.signature = signature
        build = self.builds.get(job.request)
        if build is not None and build.state == "seeking":
            self._tell(inputs.Reroute(request=job.request, signature=signature))

    def quick_stop(self) -> None:
        self.stopping = True
        for request, build in list(self.builds.items()):
            if not build.job.waited_for:
                self._over(build)
                self._tell(inputs.Keep(request=request))
                continue
            build.job.stop_wanted = True
            attached = build.state == "attached"
            order = inputs.Done(request=request) if attached else inputs.Withdraw(request=request)
            self._finish(build, "CANCELLED", order)

    def die(self) -> None:
        for build in self.builds.values():
            if build.interrupt is not None:
                build.interrupt.cancel()
        self.builds.clear()

    # ---- from the bridge

    def hear(self, action: actions.Action) -> None:
        if isinstance(action, actions.ServeData):
            self._serve(action)
            return
        request: str = action.request  # type: ignore[union-attr, assignment]  # all that are left have one
        build = self.builds.get(request)
        if isinstance(action, actions.Deliver):
            self._deliver(build, action.event)
        elif build is None:
            raise Violation("the bridge speaks of builds that are", f"{type(action).__name__} of {request}")
        elif isinstance(action, actions.Attach):
            self._attach(build, action)
        elif isinstance(action, actions.Lost):
            self._lost(build, action)
        elif isinstance(action, actions.Abandoned):
            self._note_loss(build)
            if self._world.ledger.lives(request) < LIVES:
                raise Violation("only what cost three lives is abandoned", f"{request}: {action.reason}")
            self._finish(build, "EXCEPTION", None)
        elif isinstance(action, actions.CancelledEarlier):
            if not build.job.stop_wanted:
                raise Violation("only what a user stopped is CANCELLED", f"{request}: {action.reason}")
            build.interrupted = True  # the completion follows
        else:
            raise TypeError(f"no such action in the model: {action}")

    def _attach(self, build: Build, action: actions.Attach) -> None:
        if build.state != "seeking":
            raise Violation("a build is attached once", f"{action.request} to {action.holder.session}")
        self._world.note(
            self.host.name,
            f"Buildbot: {action.request} attached to {action.holder.session}"
            + (" (adopted)" if action.adopted else ""),
        )
        build.state = "attached"
        build.session = action.holder.session
        build.job.waits[-1][1] = self._clock.now
        if build.job.kind == "build":
            self._later(self._world.between(0.0, 0.3), self._next_command, build)
        else:
            build.started = len(build.job.script)
            build.running = True

    def _next_command(self, build: Build) -> None:
        if build.state != "attached":
            return
        if len(build.rcs) == len(build.job.script) or (build.rcs and build.rcs[-1]):
            self._finish(build, "FAILURE" if any(build.rcs) else "SUCCESS", inputs.Done(request=build.job.request))
            return
        build.started += 1
        build.running = True
        command = build.job.command(build.started - 1, build.run)
        self._tell(inputs.StartCommand(request=build.job.request, command=command))

    def _deliver(self, build: Build | None, event: Event) -> None:
        ledger = self._world.ledger
        if build is None or build.state != "attached" or build.session != event.session:
            state = None if build is None else (build.state, build.session)
            raise Violation("events come to builds that are attached", f"{event.session} {event.seq}: {state}")
        where = f"{build.job.request} in {event.session}: event {event.seq}"
        if event.seq != build.delivered + 1:
            raise Violation("every event reaches Buildbot once, in order", f"{where} after {build.delivered}")
        if ledger.events[event.session][event.seq - 1] != event:
            raise Violation("every event reaches Buildbot as it was", where)
        if event.n > build.started or event.n != build.completed + 1:
            raise Violation("events belong to commands that Buildbot started", f"{where} of command {event.n}")
        if event.kind == "started":
            wanted = build.job.command(event.n - 1, build.run).digest
            if event.value["digest"] != wanted:
                raise Violation("a changed command is never taken for the old one", where)
        build.delivered = event.seq
        build.completed += event.kind == "completed"
        build.storing.append(event)
        if len(build.storing) == 1:
            self._store(build)

    def _store(self, build: Build) -> None:
        delay = self._world.between(0.0005, 0.01)
        if self.stalled_until > self._clock.now:
            delay += self.stalled_until - self._clock.now
        self._later(delay, self._stored, build)

    def _stored(self, build: Build) -> None:
        if build.state != "attached":
            return
        event = build.storing.popleft()
        if build.storing:
            self._store(build)
        if event.kind == "update" and event.value[0] == "rc":
            build.rcs.append(event.value[1])
        self._tell(inputs.EventStored(session=event.session, seq=event.seq))
        if event.kind == "completed" and build.state == "attached":
            self._completed(build, event)

    def _completed(self, build: Build, event: Event) -> None:
        request = build.job.request
        build.running = build.job.kind == "command" and len(build.rcs) < len(build.job.script)
        if build.interrupted or build.job.stop_wanted:
            self._finish(build, "CANCELLED", inputs.Done(request=request))
        elif event.interrupted is not None:
            raise Violation("only what a user stopped is interrupted", f"{request}: {event.interrupted}")
        elif event.infrastructure is not None:
            self._world.note(self.host.name, f"Buildbot: {request} RETRY: {event.infrastructure}")
            self._over(build)
            self._tell(inputs.Done(request=request))
            self._again(build.job)
        elif build.job.kind == "build":
            self._later(self._world.between(0.0, 0.2), self._next_command, build)
        elif not build.running:
            self._finish(build, "FAILURE" if any(build.rcs) else "SUCCESS", inputs.Done(request=request))

    def _lost(self, build: Build, action: actions.Lost) -> None:
        ledger = self._world.ledger
        ledger.given_up.setdefault(action.session, "lost")
        self._note_loss(build)
        self._world.note(self.host.name, f"Buildbot: {action.request} lost {action.session}: {action.reason}")
        if build.job.stop_wanted:
            self._finish(build, "CANCELLED", None)
        else:
            self._over(build)
            self._again(build.job)

    def _note_loss(self, build: Build) -> None:
        if build.running and build.session is not None:
            self._world.ledger.lost_running[build.job.request].add(build.session)

    def _interrupt_failed(self, build: Build) -> None:
        if build.state == "attached":
            self._finish(build, "CANCELLED", inputs.Done(request=build.job.request))

    def _again(self, job: Job) -> None:
        self._later(self._world.between(0.05, 1.0), self.seek, job)

    def _finish(self, build: Build, result: Result, news: inputs.Input | None) -> None:
        self._world.note(self.host.name, f"Buildbot: {build.job.request} ends {result}")
        build.job.result = result
        self._over(build)
        if news is not None:
            self._tell(news)

    def _over(self, build: Build) -> None:
        build.state = "over"
        if build.interrupt is not None:
            build.interrupt.cancel()
        if self.builds.get(build.job.request) is build:
            del self.builds[build.job.request]

    def _serve(self, action: actions.ServeData) -> None:
        """A download's bytes, from a file that is as long as the command says."""
        build = self.builds.get(action.request)
        if build is None:
            return
        size = build.job.script[action.n - 1].get("pull", 0)
        data = _PULLED[: max(0, min(action.length, size - action.offset))]
        incarnation = self._world.ledger.incarnations[self.host.name]
        message = Data(
            session=action.session, incarnation=incarnation, n=action.n, offset=action.offset, size=size, data=data
        )
        assert self.host.link is not None
        self.host.link.carry_out(actions.Send(message=message, address=action.address, terms=action.terms))

    def _tell(self, news: inputs.Input) -> None:
        self.host.feed(self.process, news)

    def _later(self, delay: float, call: Any, *args: Any) -> Timer:
        return self._clock.call_later(delay, self._if_alive, call, args)

    def _if_alive(self, call: Any, args: tuple[Any, ...]) -> None:
        if self.host.process == self.process:
            call(*args)
