"""Frames over the system's `ssh`: keys, known hosts, jump hosts and `~/.ssh/config` are as that has them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from asyncio.subprocess import PIPE, Process
from collections import deque

import structlog

from contracts.operations.broker_failure import plain
from contracts.operations.office_url import OfficeAddress
from worker_agent.link.frames.stream_wire import READ, StreamWire
from worker_agent.link.frames.wire import WireLost
from worker_agent.link.options import LinkOptions

log = structlog.get_logger(__name__)

#: What is asked of the master's machine. Its `authorized_keys` says what is run instead; where it does not, there is no
#: such command, and no shell either.
COMMAND = "buildbot-frames"
#: Of ssh's own configuration only what says how to get there counts. A peer that is not heard is given up by ssh after
#: 15 s, as by the frames. The connection is not shared with others of this user, whose end would be its own.
OPTIONS = (
    "-T", "-a", "-x",
    "-o", "BatchMode=yes",
    "-o", "ServerAliveInterval=5",
    "-o", "ServerAliveCountMax=3",
    "-o", "ClearAllForwardings=yes",
    "-o", "ControlMaster=no",
    "-o", "ControlPath=none",
    "-o", "PermitLocalCommand=no",
    "-o", "EscapeChar=none",
)  # fmt: skip
#: Lines of ssh's standard error that are kept to say why it ended, bytes of one, and how many are told in the log.
LINES_KEPT = 8
LINE_MAX = 1000
LINES_TOLD = 20
#: Seconds for ssh to end after it was told to, and for the rest of what it says.
ENDING = 1.0

_HOST_KEY = re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed|host key .*mismatch", re.I)
_REFUSED = re.compile(r"Permission denied|Too many authentication failures", re.I)
_NOT_FOUND = 127


def command_line(address: OfficeAddress, connect_timeout: float) -> list[str]:
    """What is run to get there."""
    port = ["-p", str(address.port)] if address.port else []
    login = ["-l", address.login] if address.login else []
    timeout = ["-o", f"ConnectTimeout={max(1, round(connect_timeout))}"]
    return ["ssh", *OPTIONS, *timeout, *port, *login, "--", address.host, COMMAND]


def explain(where: str, status: int | None, said: list[str]) -> str:
    """Why ssh ended, in words for people. `said`: its last lines."""
    text = " / ".join(said)
    if _HOST_KEY.search(text):
        return (
            f"the host key of {where} is not the one that this machine knows: if the master's machine has a new one, "
            f"put it into known_hosts; else somebody is in between (ssh said: {_last(said)})"
        )
    if _REFUSED.search(text):
        return (
            f"sshd at {where} takes no key of this machine: put the line that `master-bridge enroll --ssh-key` printed "
            f"into authorized_keys there (ssh said: {_last(said)})"
        )
    if status == _NOT_FOUND:
        return (
            f"sshd at {where} lets this machine in, but starts no master-bridge: the key's line in authorized_keys "
            f"there is to be the one that `master-bridge enroll --ssh-key` printed ({_last(said)})"
        )
    if said:
        return f"ssh to {where} ended: {_last(said)}"
    return f"ssh to {where} ended" + (f" with status {status}" if status else ", as it does when the master stops")


def _last(said: list[str]) -> str:
    return plain(said[-1]) if said else "nothing"


class SSHWire(StreamWire):
    """`FrameWire` over one ssh process."""

    def __init__(self, where: str, process: Process, children: set[int]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        super().__init__(where, process.stdout, process.stdin)
        self._process = process
        self._children = children
        self._said: deque[str] = deque(maxlen=LINES_KEPT)
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        """What ssh and the other machine say to people: logged, and kept to say why it ended."""
        stderr = self._process.stderr
        assert stderr is not None
        told = 0
        rest = b""
        while data := await stderr.read(4096):
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-LINE_MAX:]
            for line in lines:
                text = plain(line[:LINE_MAX].decode("utf-8", "replace"))
                if not text.strip("@ "):
                    continue  # the frame around ssh's warning of a changed host key
                self._said.append(text)
                told += 1
                if told <= LINES_TOLD:
                    log.debug("ssh_says", where=self._where, line=text)
        if last := plain(rest.decode("utf-8", "replace")):
            self._said.append(last)

    async def _lost(self) -> WireLost:
        await self._end()
        return WireLost(explain(self._where, self._process.returncode, list(self._said)))

    async def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await self._end()
        self._listening.cancel()
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.close()

    async def _end(self) -> None:
        """Its status, and the rest of what it says; where it does not end by itself it is killed."""
        if self._process.returncode is None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._process.wait(), ENDING)
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._children.discard(self._process.pid)
        await asyncio.wait([self._listening], timeout=ENDING)


async def open_ssh(options: LinkOptions, children: set[int]) -> SSHWire:
    """To the master that the options name. Raises `WireLost`; then, and when cancelled, nothing is left running.

    `children`: holds the process's id while its exit status is waited for, which nobody else may collect.
    """
    address = options.office
    try:
        process = await asyncio.create_subprocess_exec(
            *command_line(address, 0.8 * options.connect_timeout),  # so that ssh itself says what takes so long
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=READ,
            start_new_session=True,  # a Ctrl-C in our terminal drains the agent, and is not ssh's
        )
    except OSError as error:
        raise WireLost(f"ssh cannot be run: {error.strerror}; install OpenSSH's client on this machine") from None
    children.add(process.pid)
    return SSHWire(address.listener, process, children)
