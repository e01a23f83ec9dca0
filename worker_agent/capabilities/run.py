"""Run one probe's command: bounded in time and output, without input, without our environment, killed as a group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Most bytes of a probe's output that are read; a version stands in the first lines.
OUTPUT_MAX = 64 * 1024
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


def scrubbed_environment(search_path: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a probe sees: where tools are, plain English output, nothing secret."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
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


async def run(command: Sequence[str], *, timeout: float, environment: Mapping[str, str]) -> Ran:
    """Run `command` in / for at most `timeout` seconds; never raises for what the command does."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            cwd="/",
            env=dict(environment),
            start_new_session=True,
            limit=OUTPUT_MAX,
        )
    except (OSError, ValueError) as error:
        return Ran(output="", code=None, problem=f"cannot be run: {getattr(error, 'strerror', None) or error}")
    output = bytearray()
    problem, late = "", False
    reading = asyncio.ensure_future(_read(process, output))
    waiting = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({reading, waiting}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if reading.done() and not waiting.done() and len(output) <= OUTPUT_MAX:
            await asyncio.wait({waiting}, timeout=timeout)  # it closed its output before it ended
        elif waiting.done() and not reading.done():
            await asyncio.wait({reading}, timeout=AFTER_EXIT)
        if len(output) > OUTPUT_MAX:
            problem = f"printed more than {OUTPUT_MAX // 1024} KiB"
        elif not waiting.done():
            problem, late = f"did not end within {timeout:g} s", True
    finally:
        reading.cancel()
        _kill_group(process)
        await asyncio.wait({reading, waiting}, timeout=AFTER_EXIT)
        _close(process)
    text = _COLOURS.sub("", bytes(output[:OUTPUT_MAX]).decode("utf-8", "replace"))
    return Ran(output=text, code=process.returncode if not problem else None, problem=problem, late=late)


async def _read(process: Process, output: bytearray) -> None:
    assert process.stdout is not None
    while len(output) <= OUTPUT_MAX:
        piece = await process.stdout.read(16 * 1024)
        if not piece:
            return
        output += piece


def _kill_group(process: Process) -> None:
    """The command's whole group, children it left behind included; nothing is left is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _close(process: Process) -> None:
    """Give the pipe back at once, even where a child outside the group still holds its other end."""
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
