"""`worker-agent attach`: joins standard input and output to this machine's agent, and starts it where none runs.

A master's `ssh` runs it. The agent is a process of its own, which goes on when that ssh ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contracts.operations.exit_status import ExitStatus
from contracts.operations.office_url import STDIO, STDIO_EXAMPLE, is_office_url, parse_office_url
from contracts.operations.stdio_relay import connect, relay
from worker_agent.link.options import ATTACH_SOCKET
from worker_agent.program.loading import flag_of
from worker_agent.program.settings import Settings

#: In the state folder: what an agent that was started here says.
LOG = "agent.log"
#: It begins anew at a start of the agent when it has more bytes; one former is kept.
LOG_MAX = 10 * 1024 * 1024
#: Seconds for an agent to start, on a slow board, and between two looks.
START_TIMEOUT = 60.0
LOOK = 0.05
#: Bytes of its log that are told when it does not start.
TOLD = 2000


def attach(settings: Settings, flags: Mapping[str, Any], config: Path | None) -> int:
    """The exit status. `flags` and `config`: as given on the command line; the agent is started with the same."""
    url = settings.amqp_url.get_secret_value() if settings.amqp_url is not None else ""
    if not is_office_url(url) or parse_office_url(url).wire != STDIO:
        return _failed(
            f"attach: --url is to be {STDIO_EXAMPLE}, for an agent that its master reaches", ExitStatus.USAGE
        )
    path = settings.state / ATTACH_SOCKET
    try:
        line = connect(path)
    except OSError:
        try:
            process = _start(settings, flags, config)
        except OSError as error:
            return _failed(f"{error.filename}: {error.strerror}", ExitStatus.CANTCREAT)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            status = process.poll()
            try:
                line = connect(path)
                break
            except OSError:
                if status is not None or time.monotonic() > deadline:
                    tail = (settings.state / LOG).read_bytes()[-TOLD:].decode("utf-8", "replace")
                    return _failed(f"no agent runs in {settings.state}, and it does not start:\n{tail}", status or 1)
            time.sleep(LOOK)
    print(f"attached to the agent in {settings.state}", file=sys.stderr, flush=True)  # noqa: T201  # for whoever reaches it
    relay(line)
    os._exit(0)  # a thread may wait for a peer that reads no more


def _failed(problem: str, status: int) -> int:
    print(f"worker-agent: {problem}", file=sys.stderr)  # noqa: T201  # the command's answer
    return status


def _start(settings: Settings, flags: Mapping[str, Any], config: Path | None) -> subprocess.Popen[bytes]:
    """The agent, in a session of its own. Raises OSError."""
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = settings.state / LOG
    if log.exists() and log.stat().st_size > LOG_MAX:
        log.replace(log.with_suffix(".log.1"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SSH_")}
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "worker_agent", *_words(settings, flags, config)],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            start_new_session=True,
            env=environment,
        )
    finally:
        os.close(handle)


def _words(settings: Settings, flags: Mapping[str, Any], config: Path | None) -> Sequence[str]:
    """The command line. An agent for which nobody wrote settings finds out what its machine can do."""
    words = [] if config is None else ["--config", str(config)]
    for name, value in flags.items():
        if isinstance(value, bool):
            words.append(flag_of(name) if value else f"--no-{name.replace('_', '-')}")
        else:
            for each in value if isinstance(value, tuple) else (value,):
                words += [flag_of(name), str(each)]
    if settings.config_file is None and "auto_capabilities" not in flags and not settings.capability:
        words.append("--auto-capabilities")
    return words
