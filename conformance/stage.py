"""What a check has to play with: the kit's master, the agent, and a way to cut the agent's connections."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from conformance.cutting import Cutter
from conformance.errors import Violated, expect
from conformance.master import Master
from conformance.session import Session
from conformance.worker import WorkerProcess
from contracts import topology
from contracts.messages import Claim, Command, Event, Gone, Hold, Offer, Resume, RollCall, Status
from contracts.timing import STATUS_INTERVAL

#: Seconds for an agent to start and to consume its queue.
START_TIMEOUT = 60.0
#: … and to tell its status, if it ever does.
STATUS_WITHIN = 3 * STATUS_INTERVAL


class Stage:
    """`start_worker` is given the state folder: None for a fresh one."""

    def __init__(self, master: Master, cutter: Cutter, start_worker: Callable[[bool], WorkerProcess]) -> None:
        self.master = master
        self.cutter = cutter
        self._start_worker = start_worker
        self.worker: WorkerProcess | None = None

    # ---- the agent

    def ready(self, *, same_state: bool = False) -> None:
        """An agent runs and consumes its queue, and nothing of an earlier scene is left."""
        if self.worker is None or not self.worker.running:
            self.worker = self._start_worker(same_state)
        worker = self.worker
        self.master.wait(
            lambda: self.master.broker.consumers() > 0 or not worker.running,
            f"a consumer of {self.master.broker.queue}; the agent says:\n{worker.tail()}",
            START_TIMEOUT,
        )
        expect(worker.running, f"the agent ended with status {worker.status}; it says:\n{worker.tail()}")

    def status(self) -> Status:
        """What the agent says of itself when it is asked. Raises `Violated`."""
        alive = self.master.alive_message()
        self.master.ask_status()
        # not one that an earlier agent said before it was ended
        return self.master.wait_for(
            Status,
            lambda status: self.master.say(alive, topology.CONTROL, status.address),
            timeout=STATUS_WITHIN,
        )

    def operators_address(self) -> str | None:
        """Where an operator's program tells this agent its offers (rule 26). None: it takes none."""
        try:
            status = self.status()
        except Violated:
            return None
        return status.address if status.direct else None

    def end_worker(self) -> None:
        """Kills the agent, if there is one; the next session has a fresh one."""
        if self.worker is not None:
            self.worker.end()
            self.worker = None

    # ---- scenes

    def session(self, **fields: Any) -> Session:
        """A session on the agent: offered, claimed, granted, accepted."""
        offer = self.master.offer(**fields)
        return self.master.grant(offer, self.master.claimed(offer))

    def run(
        self, session: Session, n: int, name: str, args: Mapping[str, Any], *, timeout: float | None = None
    ) -> Event:
        """Start a command and wait for its completion."""
        self.master.start(session, self.master.command(n, name, args))
        return self.master.completed(session, n, timeout=timeout)

    def shell(self, session: Session, n: int, script: str, **args: Any) -> Event:
        """Runs `script` in sh as command `n`, with further arguments; returns its completion, once it is there."""
        return self.run(session, n, "shell", shell_args(script, **args))

    def begin_shell(self, session: Session, n: int, script: str, **args: Any) -> Command:
        """Start it, and wait until it has written `ready` to stdout."""
        command = self.master.command(n, "shell", shell_args(f"echo ready; {script}", **args))
        self.master.start(session, command)
        self.master.wait(lambda: b"ready\n" in session.data(n, "stdout"), f"the first output of command {n}")
        return command

    def finish(self, session: Session) -> None:
        """Release it, and see its offer acknowledged: the agent takes the next one."""
        self.master.release(session)
        self.is_free()

    def is_free(self) -> None:
        """The agent takes an offer: it has its slot free. Claimed and refused."""
        offer = self.master.offer()
        claim = self.master.claimed(offer)
        self.master.over.add(offer.offer)
        self.master.refuse(claim, "claim")
        self.master.wait(lambda: self.master.broker.consumers() > 0, "the agent consumes again")

    def is_free_again(self) -> None:
        """As `is_free`, after the agent's connections broke."""
        self.master.wait(
            lambda: self.master.broker.consumers() > 0, "the agent to consume again", 3 * self.master.patience
        )
        self.is_free()

    def roll_call(self) -> None:
        """Whoever holds sessions of this master resumes them."""
        self.master.received = [message for message in self.master.received if not isinstance(message, Resume)]
        message = RollCall(master=self.master.name, incarnation=self.master.incarnation)
        self.master.say(message, topology.CONTROL, topology.BROADCAST)

    def resumed(self, session: Session, *, timeout: float | None = None) -> Resume:
        """The latest resume of a session; from now on it is reached at that address."""
        resume = self.resumed_id(session.id, timeout=timeout)
        session.claim = resume
        return resume

    def resumed_id(self, session: str, *, timeout: float | None = None) -> Resume:
        """The latest resume of this session, once there is one. Raises `Violated`."""
        return self.master.wait_for(
            Resume, lambda resume: resume.session == session, timeout=timeout or 3 * self.master.patience
        )

    def hold(self, resume: Resume) -> None:
        """Answer a resume: nobody has asked for it yet, keep it."""
        message = Hold(session=resume.session, master=self.master.name, request=resume.request)
        self.master.say(message, topology.CONTROL, resume.address)

    def restart_worker(self) -> None:
        """After its process ended: the same agent, with the same state folder."""
        self.worker = self._start_worker(True)

    def gone(self, session: str) -> Gone:
        """The agent's word that this session is over, once it is there. Raises `Violated`."""
        return self.master.wait_for(Gone, lambda gone: gone.session == session)

    def was_given_back(self, offer: Offer, *, timeout: float | None = None) -> Claim:
        """Its offer is back in the queue: here it is claimed again, under a new session id."""
        claim: Claim = self.master.wait_for(
            Claim,
            lambda claim: claim.offer == offer.offer and claim.session not in self.master.sessions,
            timeout=timeout,
        )
        self.master.over.add(offer.offer)
        self.master.refuse(claim, "claim")
        return claim

    def pid_of(self, session: Session, n: int) -> int:
        """The first number that command `n` prints."""

        def numbers() -> list[int]:
            lines = session.data(n, "stdout").split(b"\n")[:-1]
            return [int(line) for line in lines if line.isdigit()]

        found: list[int] = self.master.wait(numbers, f"the process id that command {n} prints")
        return found[0]

    def pid_gone(self, pid: int, what: str) -> None:
        """A process that the agent started is not there any more; the agent runs on this machine."""
        self.master.wait(lambda: not _alive(pid), f"{what} (process {pid}) to be gone")


def shell_args(script: str, **more: Any) -> dict[str, Any]:
    """Arguments of Buildbot's `shell` for a script of /bin/sh, as a master of version 4.3 sends them."""
    return {
        "command": ["/bin/sh", "-c", script],
        "workdir": "build",
        "env": {},
        "want_stdout": 1,
        "want_stderr": 1,
        "logfiles": {},
        "timeout": 60,
        "maxTime": None,
        "max_lines": None,
        "sigtermTime": None,
        "usePTY": False,
        "logEnviron": False,
        "initial_stdin": None,
        **more,
    }


def _alive(pid: int) -> bool:
    """There is such a process, and it is not a zombie that nobody has waited for yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc/self").exists()  # gone meanwhile; without /proc the kill above has to do
