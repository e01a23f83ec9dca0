"""Carry out one probe of a command: run it, find the version in what it printed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from contracts.messages import Capability
from worker_agent.capabilities.inventory import Evidence, Failure, Stamp
from worker_agent.capabilities.options import BadCapability, DetectOptions, checked
from worker_agent.capabilities.probe_files import Probe
from worker_agent.capabilities.run import Ran, run, scrubbed_environment

#: Longest line of output kept as evidence.
LINE_MAX = 200
#: A pattern of a user's probe is tried on so much text only: a careless one takes time that grows with its square.
SEARCHED_MAX = 8192


async def probe_command(
    name: str, probe: Probe, path: str, options: DetectOptions
) -> tuple[Sequence[Evidence], Sequence[Failure]]:
    """What the program at `path` is, or why that could not be found out."""
    if probe.file and (read := _from_file(name, probe, path, options)) is not None:
        return (read,), ()
    command = [path, *probe.words[1:]]
    ran = await run(
        command,
        timeout=probe.timeout or options.timeout,
        environment=scrubbed_environment(options.search_path, probe.environment, options.user),
        user=options.user,
    )
    when = time.time()

    def failed(reason: str) -> tuple[Sequence[Evidence], Sequence[Failure]]:
        return (), (Failure(probe=name, reason=reason, when=when, path=path, late=ran.late),)

    if (problem := _problem(ran, probe)) is not None:
        return failed(problem)
    version, line = None, last_line(ran.output)
    if probe.version:
        match = re.search(probe.version, ran.output[:SEARCHED_MAX], re.MULTILINE)
        if match is None:
            return failed(f"printed no version: {first_line(ran.output)!r}")
        version = tidy_version(match[1] if match.re.groups else match[0])
        line = _line_at(ran.output, match.start())
    try:
        capability = checked(probe.name or name, version)
    except BadCapability as error:
        return failed(str(error))
    found = Capability(name=capability.name, version=version)
    stamp, shown = None if probe.volatile else Stamp.of(path), " ".join(command)
    return (
        Evidence(
            capability=found, probe=name, how="command", when=when, path=path, command=shown, line=line, stamp=stamp
        ),
    ), ()


def _problem(ran: Ran, probe: Probe) -> str | None:
    """Why its output says nothing; None: it does."""
    if ran.problem:
        return ran.problem
    if ran.code in probe.exit:
        return None
    code = "was killed" if ran.code is None or ran.code < 0 else f"ended with exit code {ran.code}"
    said = last_line(ran.output)
    return f"{code}: {said}" if said else code


def _from_file(name: str, probe: Probe, path: str, options: DetectOptions) -> Evidence | None:
    """What the file beside the program says; None: it is not there, or does not say it."""
    beside = Path(os.path.realpath(path)).parent / probe.file
    try:
        text = str(options.errands.do("read", str(beside), SEARCHED_MAX))
    except OSError:
        return None
    match = re.search(probe.file_version, text, re.MULTILINE)
    if match is None:
        return None
    try:
        capability = checked(probe.name or name, tidy_version(match[1] if match.re.groups else match[0]))
    except BadCapability:
        return None
    line = _line_at(text, match.start())
    return Evidence(
        capability=capability,
        probe=name,
        how="file",
        when=time.time(),
        path=path,
        command=f"read {os.path.normpath(beside)}",
        line=line,
        stamp=Stamp.of(path),
    )


def tidy_version(text: str | None) -> str:
    """Without the full stop or bracket of the sentence it stands in."""
    return (text or "").strip().rstrip(".,;:)-+~_")


def clean(text: str) -> str:
    """One line for a table or a log: no control characters, not too long."""
    text = "".join(character if character.isprintable() else " " for character in text).strip()
    return text if len(text) <= LINE_MAX else text[: LINE_MAX - 1] + "…"


def first_line(output: str) -> str:
    """The first that is not empty, without control characters."""
    return next((clean(line) for line in output[:SEARCHED_MAX].splitlines() if line.strip()), "")


def last_line(output: str) -> str:
    """The last that is not empty, without control characters."""
    return next((clean(line) for line in reversed(output[-SEARCHED_MAX:].splitlines()) if line.strip()), "")


def _line_at(output: str, position: int) -> str:
    start = output.rfind("\n", 0, position) + 1
    end = output.find("\n", position)
    return clean(output[start : end if end >= 0 else len(output)])
