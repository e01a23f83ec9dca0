"""Frames over the system's `ssh` to a master."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import PIPE, Process

import structlog

from contracts.operations.ssh_client import ErrorOutput, command_line, obstacle
from worker_agent.link.frames.stream_wire import READ, StreamWire
from worker_agent.link.frames.wire import WireLost
from worker_agent.link.options import LinkOptions

log = structlog.get_logger(__name__)

#: What is asked of the master's machine. Its `authorized_keys` says what is run instead; where it does not, there is no
#: such command, and no shell either.
COMMAND = "buildbot-frames"
#: Seconds for ssh to end after it was told to, and for the rest of what it says.
ENDING = 1.0


def explain(where: str, status: int | None, said: ErrorOutput) -> str:
    """Why ssh ended, in words for people."""
    kept_apart = obstacle(status, said.lines)
    if kept_apart == "host key":
        return (
            f"the host key of {where} is not the one that this machine knows: if the master's machine has a new one, "
            f"put it into known_hosts; else somebody is in between (ssh said: {said.last})"
        )
    if kept_apart == "key":
        return (
            f"sshd at {where} takes no key of this machine: put the line that `master-bridge enroll --ssh-key` printed "
            f"into authorized_keys there (ssh said: {said.last})"
        )
    if kept_apart == "command":
        return (
            f"sshd at {where} lets this machine in, but starts no master-bridge: the key's line in authorized_keys "
            f"there is to be the one that `master-bridge enroll --ssh-key` printed ({said.last})"
        )
    if said.last:
        return f"ssh to {where} ended: {said.last}"
    return f"ssh to {where} ended" + (f" with status {status}" if status else ", as it does when the master stops")


class SSHWire(StreamWire):
    """`FrameWire` over one ssh process."""

    def __init__(self, where: str, process: Process, children: set[int]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        super().__init__(where, process.stdout, process.stdin)
        self._process = process
        self._children = children
        self._said = ErrorOutput(lambda line: log.debug("ssh_says", where=where, line=line))
        self._listening = asyncio.get_running_loop().create_task(self._said.listen(process.stderr))

    async def _lost(self) -> WireLost:
        await self._end()
        return WireLost(explain(self._where, self._process.returncode, self._said))

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
    timeout = 0.8 * options.connect_timeout  # so that ssh itself says what takes so long
    try:
        process = await asyncio.create_subprocess_exec(
            *command_line(address.host, COMMAND, port=address.port, login=address.login, timeout=timeout),
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
