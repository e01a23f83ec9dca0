"""Run one probe's command: bounded in time and output, without input, without our environment, killed as a group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker_agent.keeper.second_user import SecondUser

#: Most bytes of a probe's output that are read; a version stands in the first lines.
OUTPUT_MAX = 64 * 1024
#: A probe takes the processor from nobody who needs it: builds, and other agents that start (nice(1)).
NICENESS = 10
#: A command that has ended may have left children with its output open; they are not waited for longer than this.
AFTER_EXIT = 0.2
#: Some programs colour their output whatever the terminal (ECMA-48 SGR sequences).
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
#: Variables that say where tools are. Nothing else of the agent's environment reaches a probe (the broker's URL!).
KEPT = (
    "HOME", "USER", "LOGNAME", "TMPDIR", "PYENV_ROOT", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_HOME", "JAVA_HOME",
    "GOROOT", "GOPATH", "NVM_DIR", "RBENV_ROOT", "SDKMAN_DIR", "DEVELOPER_DIR", "SDKROOT", "LD_LIBRARY_PATH",
    "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "XDG_RUNTIME_DIR", "DOCKER_HOST", "SYSTEMROOT",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command ended. `code` None: it did not by itself. `problem`: why its output cannot be trusted, or empty."""

    output: str
    code: int | None
    problem: str = ""
    #: it was killed because its time was over
    late: bool = False


def scrubbed_environment(
    search_path: str, more: Mapping[str, str] | None = None, user: SecondUser | None = None
) -> dict[str, str]:
    """What a probe sees: where tools are, plain English output, nothing secret. `user`: whom it runs as."""
    own = os.environ if user is None else user.environ(os.environ)
    kept = {name: own[name] for name in KEPT if name in own}
    return {
        **kept,
        "PATH": search_path,
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "RUSTUP_AUTO_INSTALL": "0",  # asking for a version must not download a toolchain
        "DOTNET_CLI_TELEMETRY_OPTOUT": "1",
        "DOTNET_NOLOGO": "1",
        **(more or {}),
    }


async def run(
    command: Sequence[str], *, timeout: float, environment: Mapping[str, str], user: SecondUser | None = None
) -> Ran:
    """Run `command` in / for at most `timeout` seconds, as `user`; never raises for what the command does."""
    loop = asyncio.get_running_loop()
    try:
        transport, watch = await loop.subprocess_exec(
            lambda: _Watch(loop),
            *(command if user is None else user.argv(command)),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            cwd="/",
            env=dict(environment),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Ran(output="", code=None, problem=f"cannot be run: {getattr(error, 'strerror', None) or error}")
    problem, late = "", False
    pid = transport.get_pid()
    _be_nice(pid)
    try:
        await asyncio.wait({watch.exited, watch.too_much}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if watch.exited.done():
            await asyncio.wait({watch.closed, watch.too_much}, timeout=AFTER_EXIT, return_when=asyncio.FIRST_COMPLETED)
        if watch.too_much.done():
            problem = f"printed more than {OUTPUT_MAX // 1024} KiB"
        elif not watch.exited.done():
            problem, late = f"did not end within {timeout:g} s", True
    finally:
        _kill_group(pid)
        await asyncio.wait({watch.exited}, timeout=AFTER_EXIT)
        code = transport.get_returncode()
        transport.close()
    text = _COLOURS.sub("", bytes(watch.output[:OUTPUT_MAX]).decode("utf-8", "replace"))
    return Ran(output=text, code=code if not problem else None, problem=problem, late=late)


class _Watch(asyncio.SubprocessProtocol):
    """Collects a process's output, and tells its end from that of its output: a child it left may hold that open.

    (`asyncio.subprocess.Process.wait` waits for both.)
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.output = bytearray()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.too_much: asyncio.Future[None] = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if len(self.output) <= OUTPUT_MAX:
            self.output += data
        if len(self.output) > OUTPUT_MAX and not self.too_much.done():
            self.too_much.set_result(None)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)


def _be_nice(pid: int) -> None:
    """One that has ended, or is another user's, takes what it gets.

    Its session may be a group of its own for the scheduler: then niceness counts within the group only, and the group
    has one, too (sched(7), "The autogroup feature").
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    with contextlib.suppress(OSError), open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as group:
        group.write(str(NICENESS))


def _kill_group(pid: int) -> None:
    """The command's whole group, children it left behind included; nothing is left is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
