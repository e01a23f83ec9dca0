"""`Fleet`: commands and files on agents, as a blocking Python API.

    from master_bridge.running import Fleet

    fleet = Fleet("amqps://desk:secret@broker.example.org/")
    for result in fleet.run(["uname", "-r"], match=["os==linux"]):
        print(result.agent, result.exit_status, result.stdout.decode())

Blocking, since a script does one thing after the other: what takes time is on the agents, and all of one call's are
asked at once. Each call connects, and is over with all of its agents.
"""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from contracts.messages import Status, WorkerInfo
from contracts.operations.office_url import is_office_url
from contracts.readable import shown
from contracts.trust.sealing import CAPABILITY as SEALING
from master_bridge.link.settings import HEARTBEAT, TLSSettings
from master_bridge.operating.connection import connect
from master_bridge.operating.errors import OperatingError
from master_bridge.operating.office.link import connect_to_office
from master_bridge.operating.port import OperatorsLink, Sign
from master_bridge.operating.selection import select
from master_bridge.operating.survey import Survey
from master_bridge.running import folder_steps, steps
from master_bridge.running.answers import AgentResult
from master_bridge.running.guest import BUILDDIR, Guest
from master_bridge.running.job import Fields, Job, OnOutput
from master_bridge.running.local_files import LocalFile
from master_bridge.running.local_folders import LocalFolder
from master_bridge.running.orders import CommandLine, Steps, text_of, words_of

log = structlog.get_logger(__name__)

#: Seconds for an agent to take a command.
WAIT = 60.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where something is done: on which agent, of how many."""

    agent: str
    agents: int
    worker: WorkerInfo

    @property
    def basedir(self) -> str:
        """The agent's. That of the session is <base directory>/<operators' folder>/slot-<k>."""
        return self.worker.basedir.rstrip("/").rpartition("/")[0].rpartition("/")[0] or "/"

    @property
    def own(self) -> str:
        """The folder of the session, for what nobody else is to see."""
        return f"{self.worker.basedir.rstrip('/')}/{BUILDDIR}"

    def can(self, command: str) -> bool:
        """An agent in another language may lack some."""
        return command in self.worker.worker_commands


class Fleet:
    """The agents of one broker, or of one master that listens for its agents itself.

    `url`: as `master-bridge --url` takes it, of an operator's account. Or `master_dir`, the folder of a master on this
    machine, as its user. `tls`: PEM files. `signing_key`: PEM file of the key that agents trust. `say` is told, for
    people, what lasts or goes wrong meanwhile.

    Each method takes the agents: `on`, names as `master-bridge fleet` shows them; `match`, requirements that all must
    hold, as ["os==linux"], or ["any"]. It returns a result for each, in order of names. It raises `OperatingError`
    where nothing was begun: nobody can be reached, is called so or satisfies it, or a file here is not there.
    """

    def __init__(
        self,
        url: str = "",
        *,
        master_dir: Path | None = None,
        tls: TLSSettings | None = None,
        signing_key: Path | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._url = url
        self._master_dir = master_dir
        self._tls = tls
        self._signing_key = signing_key
        self._say = say

    # -- what is there -------------------------------------------------------------------------------------------------

    def agents(self, *, on: Sequence[str] = (), match: Sequence[str] = ("any",)) -> list[Status]:
        """What those that are alive say of themselves: name, capabilities, slots (`contracts.messages.Status`)."""
        with self._connected() as link:
            return select(Survey(link).open().gather().agents, on, () if on else match)

    # -- commands ------------------------------------------------------------------------------------------------------

    def run(
        self,
        command: CommandLine,
        *,
        on: Sequence[str] = (),
        match: Sequence[str] = (),
        env: Mapping[str, str | None] | None = None,
        workdir: str = "",
        timeout: float | None = None,
        stdin: str | None = None,
        on_output: OnOutput | None = None,
        wait: float = WAIT,
    ) -> list[AgentResult]:
        """Run it once on each, beside what else runs there.

        `command`: words, the program first; a text is for /bin/sh. A word may be a `Secret`. `env`: more variables;
        None takes one away. `workdir`: seen from the agent's base directory, which it is by default. `timeout`: seconds
        after which it is killed. `stdin`: text that it reads. `on_output(agent, "stdout" | "stderr", bytes)` gets its
        output as it comes, in order and each byte once; without it the result has all. `wait`: seconds for an agent to
        take it. Ctrl-C ends it on all agents, and is raised as `KeyboardInterrupt` then; the second one does not wait.
        """
        words = words_of(command)

        def make(place: Place) -> Steps[Fields]:
            return steps.run(words, basedir=place.basedir, env=env or {}, workdir=workdir, timeout=timeout, stdin=stdin)

        return self._do(text_of(command), make, on, match, wait, on_output)

    # -- files ---------------------------------------------------------------------------------------------------------

    def put(
        self,
        local: Path | str,
        remote: str,
        *,
        on: Sequence[str] = (),
        match: Sequence[str] = (),
        mode: int | None = None,
        force: bool = False,
        wait: float = WAIT,
    ) -> list[AgentResult]:
        """The file or folder `local` to each, as `remote`, or into it where that is a folder.

        It is there whole or not at all. `mode`: a file's permissions, by default those here. `force`: replace a file. A
        folder goes with all that is in it, symbolic links as they are; it replaces nothing.
        """
        path = Path(local)
        if path.is_dir() and mode is not None:
            raise OperatingError(f"{path} is a folder: what is in it has the permissions that it has here")
        source = LocalFolder(path) if path.is_dir() else LocalFile(path)

        def make(place: Place) -> Steps[Fields]:
            if isinstance(source, LocalFolder):
                return folder_steps.put(source, remote, basedir=place.basedir, own=place.own)
            permissions = source.mode if mode is None else mode
            return steps.put(source, remote, basedir=place.basedir, mode=permissions, force=force)

        try:
            return self._do(f"put {local} {remote}", make, on, match, wait)
        finally:
            source.close()

    def get(
        self,
        remote: str,
        local: Path | str,
        *,
        on: Sequence[str] = (),
        match: Sequence[str] = (),
        force: bool = False,
        wait: float = WAIT,
    ) -> list[AgentResult]:
        """The file or folder `remote` of each to `local`: `AgentResult.path`.

        Of one agent `local` is what it becomes, or a folder for it. Of several it is a folder, which has one for each
        agent. Links of a folder that lead out of it are left out, and named in `AgentResult.left_out`. `force`: replace
        a file; a folder replaces nothing.
        """
        folder, name = Path(local), remote.rstrip("/").rpartition("/")[2]
        if name in ("", ".", ".."):
            raise OperatingError(f"{remote} has no name of its own: say which file or folder is meant")

        def make(place: Place) -> Steps[Fields]:
            target = folder / name if folder.is_dir() else folder
            if place.agents > 1:
                target = folder / file_name(place.agent) / name
            return folder_steps.get(
                remote, target, basedir=place.basedir, force=force, packs=place.can("uploadDirectory")
            )

        return self._do(f"get {remote}", make, on, match, wait)

    def ls(
        self, remote: str = ".", *, on: Sequence[str] = (), match: Sequence[str] = (), wait: float = WAIT
    ) -> list[AgentResult]:
        """`AgentResult.names`: what is in a folder, or the paths that a pattern (`*`, `?`, `[…]`, `**`) matches."""

        def make(place: Place) -> Steps[Fields]:
            return steps.names(remote, basedir=place.basedir, lists=place.can("listdir") and place.can("glob"))

        return self._do(f"ls {remote}", make, on, match, wait)

    def rename(
        self,
        source: str,
        target: str,
        *,
        on: Sequence[str] = (),
        match: Sequence[str] = (),
        force: bool = False,
        wait: float = WAIT,
    ) -> list[AgentResult]:
        """A file or folder of each, into `target` where that is a folder. `force`: replace a file."""

        def make(place: Place) -> Steps[Fields]:
            return steps.rename(source, target, basedir=place.basedir, force=force)

        return self._do(f"rename {source} {target}", make, on, match, wait)

    def copy(
        self,
        source: str,
        target: str,
        *,
        on: Sequence[str] = (),
        match: Sequence[str] = (),
        force: bool = False,
        wait: float = WAIT,
    ) -> list[AgentResult]:
        """As `rename`, and `source` stays; a folder with all that is in it."""

        def make(place: Place) -> Steps[Fields]:
            return steps.copy(source, target, basedir=place.basedir, force=force)

        return self._do(f"copy {source} {target}", make, on, match, wait)

    def rm(
        self,
        *paths: str,
        on: Sequence[str] = (),
        match: Sequence[str] = (),
        recursive: bool = False,
        wait: float = WAIT,
    ) -> list[AgentResult]:
        """Files of each; with `recursive` also folders, with all that is in them. What is not there is an error."""
        if not paths:
            raise OperatingError("rm: name what is to be removed")

        def make(place: Place) -> Steps[Fields]:
            return steps.remove(paths, basedir=place.basedir, recursive=recursive)

        return self._do(f"rm {' '.join(paths)}", make, on, match, wait)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _do(
        self,
        title: str,
        make: Callable[[Place], Steps[Fields]],
        on: Sequence[str],
        match: Sequence[str],
        wait: float,
        on_output: OnOutput | None = None,
    ) -> list[AgentResult]:
        def choose(alive: Sequence[Status]) -> list[Job]:
            agents = sorted(select(alive, on, match), key=lambda status: (status.agent, status.instance))
            if not agents:
                known = ", ".join(sorted({status.agent for status in alive})) or "none"
                raise OperatingError(f"no agent satisfies {' and '.join(match)}; alive: {known}")
            names = [status.agent for status in agents]
            log.info("operators_command", operator=guest.master, match=[*match], agents=names, title=shown(title))
            return [
                job_of(number, agent, status, len(agents)) for number, (agent, status) in enumerate(called(agents), 1)
            ]

        def job_of(number: int, agent: str, status: Status, agents: int) -> Job:
            return Job(
                status,
                agent=agent,
                request=f"{guest.master}/{number}",
                steps=lambda worker: make(Place(agent=agent, agents=agents, worker=worker)),
                on_output=on_output,
                seal=any(capability.name == SEALING for capability in status.capabilities),
            )

        guest = Guest(self._connected, who=getpass.getuser(), title=shown(title), wait=wait, say=self._say)
        try:
            return guest.do(choose)
        finally:
            for result in guest.results:
                told = {name: getattr(result, name) for name in ("agent", "account", "exit_status", "error", "seconds")}
                log.info("operators_command_ended", operator=guest.master, **told)

    @contextmanager
    def _connected(self) -> Iterator[OperatorsLink]:
        """For the time of a `with`. Raises `OperatingError`."""
        sign = self._sign()
        if self._master_dir is not None or is_office_url(self._url):
            with connect_to_office(self._url, self._master_dir, self._tls, sign=sign) as office:
                yield office
        else:
            with connect(self._url, self._tls, purpose="run", sign=sign, heartbeat=HEARTBEAT) as broker:
                yield broker

    def _sign(self) -> Sign | None:
        if self._signing_key is None:
            return None
        from contracts.trust.signing import BadKey, Signer  # cryptography, which who signs nothing does without

        try:
            return Signer.from_file(self._signing_key).headers
        except BadKey as error:
            raise OperatingError(str(error)) from None


def called(agents: Sequence[Status]) -> list[tuple[str, Status]]:
    """How each is called in results: its name, and its instance where several have that name. No two are alike."""
    names = Counter(status.agent for status in agents)
    return [
        (status.agent if names[status.agent] == 1 else f"{status.agent} {status.instance}", status) for status in agents
    ]


def file_name(agent: str) -> str:
    """An agent's name as one component of a path; for no two names the same."""
    name = agent.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    return name if name.strip(".") else name.replace(".", "%2E")
