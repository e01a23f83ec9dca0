"""The master's machine reaches its agents by ssh, and keeps each of them connected, until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import shlex
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path

from contracts.errors import BadName
from contracts.operations.ssh_client import ErrorOutput, command_line, obstacle
from contracts.topology import check_name
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.accounts import ACCOUNTS_FILE, AgentAccounts, Certified
from master_bridge.link.office.local_socket import NoMaster, join
from master_bridge.operating.errors import OperatingError
from master_bridge.ssh.installing import IN_PATH, INSTALL, tar_of

#: Upper bounds of the pauses between two tries, seconds, each twice the one before. An agent has 5 s to be back before
#: its session counts as lost.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
#: A connection that lived shorter, in seconds, counts as a failed try.
SETTLED = 10.0
#: Seconds for an ssh to end after it was told to.
ENDING = 2.0
_DESTINATION = re.compile(r"(?:([A-Za-z0-9_.-]+)@)?([A-Za-z0-9_.-]+)(?::([0-9]{1,5}))?")


class SSHDestination:
    """[USER@]HOST[:PORT], as ssh and its configuration know it. HOST is the agent's account, too."""

    def __init__(self, text: str) -> None:
        """Raises `OperatingError`."""
        found = _DESTINATION.fullmatch(text)
        if found is None or any(part.startswith("-") for part in found.groups("")):
            raise OperatingError(f"{text!r}: write [USER@]HOST[:PORT]")
        self.login, self.host, port = found.groups()
        self.port = int(port or 0)
        try:
            self.account = check_name(self.host, "account")
        except BadName as error:
            remedy = f"give {self.host} a name of one word in ~/.ssh/config (Host …, HostName {self.host})"
            raise OperatingError(f"{error}; {remedy}") from None

    def command_line(self, command: str) -> list[str]:
        """To run a command of a POSIX shell there, whatever the user's login shell is."""
        quoted = f"exec sh -c {shlex.quote(command)}"
        return command_line(self.host, quoted, port=self.port, login=self.login)


class Reached:
    """One machine. `tell` hears what happens, one line each; the same is not told twice in a row."""

    def __init__(self, folder: Path, to: SSHDestination, tell: Callable[[str], None], wheels: Path | None) -> None:
        self._folder = folder
        self._to = to
        self._tell = tell
        self._wheels = wheels
        self._told = ""
        self._pause = FIRST_PAUSE

    async def keep(self) -> None:
        """Connected, again and again, until cancelled; then its ssh has ended."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                if self._wheels is not None:
                    await self._install(self._wheels)
                    self._wheels = None
                self._say(await self._connect())
            except NoMaster as error:  # which costs nothing to find out
                self._say(str(error))
                self._pause = FIRST_PAUSE
            except (OperatingError, BadSettings) as error:
                self._say(str(error))
            if loop.time() - begun >= SETTLED:
                self._pause, self._told = FIRST_PAUSE, ""
            await asyncio.sleep(random.uniform(0, self._pause))  # noqa: S311  # jitter, no secret
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _say(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._tell(f"{self._to.host}: {text}")

    async def _connect(self) -> str:
        """One connection, to its end; why it ended. Raises `NoMaster`, `OperatingError` and `BadSettings`."""
        account = self._to.account
        accounts = AgentAccounts(self._folder / ACCOUNTS_FILE)
        if accounts.check(account, None, Certified(user=account, by="ssh")) is None:
            remedy = f"master-bridge enroll {account} --reached --master-dir {shlex.quote(str(self._folder))}"
            raise OperatingError(f"the master has no account {account!r} that ssh brings; `{remedy}` makes one")
        agent = f"{IN_PATH}; exec worker-agent --name {account} --url stdio:{account} attach"
        line = join(self._folder, account, self._to.host)
        try:
            process = await self._start(self._to.command_line(agent), stdin=line.fileno(), stdout=line.fileno())
        finally:
            line.close()  # the process has its own: when that ends, the master knows
        said = ErrorOutput(self._say)
        await self._ended(process, said)
        return _explain(process.returncode, said)

    async def _start(self, command: list[str], *, stdin: int, stdout: int) -> Process:
        try:
            return await asyncio.create_subprocess_exec(
                *command, stdin=stdin, stdout=stdout, stderr=PIPE, start_new_session=True
            )
        except OSError as error:
            raise OperatingError(f"ssh cannot be run: {error.strerror}; install OpenSSH's client here") from None

    async def _ended(self, process: Process, said: ErrorOutput) -> None:
        """Waits for it; ends it where this is cancelled."""
        assert process.stderr is not None
        listening = asyncio.ensure_future(said.listen(process.stderr))
        try:
            await process.wait()
            await asyncio.wait([listening], timeout=ENDING)
        finally:
            listening.cancel()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(process.wait(), ENDING)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def _install(self, wheels: Path) -> None:
        """Raises `OperatingError`."""
        self._say(f"installing what is in {wheels}")
        archive = await asyncio.to_thread(tar_of, wheels)
        with archive:
            process = await self._start(
                self._to.command_line(INSTALL), stdin=archive.fileno(), stdout=asyncio.subprocess.DEVNULL
            )
        said = ErrorOutput(self._say)
        await self._ended(process, said)
        if process.returncode != 0:
            raise OperatingError(f"nothing was installed: {_explain(process.returncode, said)}")
        self._say("installed")


def _explain(status: int | None, said: ErrorOutput) -> str:
    kept_apart = obstacle(status, said.lines)
    if kept_apart == "host key":
        return (
            f"its host key is not the one that this machine knows: if it has a new one, put it into known_hosts; else "
            f"somebody is in between (ssh said: {said.last})"
        )
    if kept_apart == "key":
        return f"it takes no key of this user: put the public one into authorized_keys there (ssh said: {said.last})"
    if kept_apart == "command":
        return "worker-agent is not installed there; --install does that"
    return f"the connection ended with status {status}" if status else "the connection ended"


async def reach(
    folder: Path, destinations: Sequence[SSHDestination], tell: Callable[[str], None], wheels: Path | None
) -> None:
    """Keeps all of them connected, until it is cancelled."""
    tasks = [asyncio.ensure_future(Reached(folder, to, tell, wheels).keep()) for to in destinations]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
