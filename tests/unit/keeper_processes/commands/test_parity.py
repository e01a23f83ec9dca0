"""Every command and argument does what Buildbot's own worker does: same updates, same order, same words.

Each case runs twice, through buildbot_worker's classes and through a keeper, in folders of the same name, and the two
lists of updates are compared after times and tracebacks are made equal.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.messages import Event
from tests.harness.environment import program_environment
from tests.unit.keeper_processes.driving.cases import CASES, Case
from tests.unit.keeper_processes.driving.harness import Driven
from worker_agent.keeper.processes.environment import command_environment

ENV = {**command_environment(program_environment()), "TZ": "UTC"}
REFERENCE = Path(__file__).parents[1] / "driving" / "reference.py"


@pytest.fixture(scope="module")
def reference() -> Iterator[subprocess.Popen[str]]:
    """Buildbot's worker, in a process with the environment that a keeper gives its commands."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(REFERENCE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENV,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("name", CASES)
async def test_a_command_tells_what_buildbots_own_worker_tells(
    name: str, driven: Driven, reference: subprocess.Popen[str]
) -> None:
    """The updates, the failure and the file that results are those of buildbot_worker."""
    case = CASES[name]
    prepare(driven.build, case)
    expected = ask(reference, driven.base, case)
    expected_file = picture(driven.build, case)
    shutil.rmtree(driven.base)

    await driven.open(ENV)
    prepare(driven.build, case)
    n = driven.start(case.command, case.args, content=case.content.encode())
    if case.interrupt_on:
        await driven.output(case.interrupt_on.encode())
        driven.keeper.interrupt(n, "test")
    events = [event for event in everything(driven, await driven.completed(n)) if event.n == n]

    assert normal(updates(events)) == normal(expected["updates"])
    assert events[-1].value == expected["failure"]
    assert picture(driven.build, case) == expected_file
    assert events[0].kind == "started"
    assert events[-1].interrupted == ("test" if case.interrupt_on else None)


def prepare(build: Path, case: Case) -> None:
    build.mkdir(parents=True, exist_ok=True)
    for path, content in case.files.items():
        target = build / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            target.mkdir(exist_ok=True)
        else:
            target.write_text(content)
        os.utime(target, (1e9, 1e9))


def ask(reference: subprocess.Popen[str], base: Path, case: Case) -> dict[str, Any]:
    assert reference.stdin is not None
    assert reference.stdout is not None
    question = {
        "base": str(base),
        "n": 1,
        "command": case.command,
        "args": case.args,
        "content": case.content,
        "interrupt_on": case.interrupt_on,
    }
    print(json.dumps(question), file=reference.stdin, flush=True)
    answer: dict[str, Any] = json.loads(reference.stdout.readline())
    return answer


def picture(build: Path, case: Case) -> tuple[bytes, int] | None:
    """Content and mode of the file that the case is about, and nothing else in its folder but what was there."""
    if case.result is None:
        return None
    path = build / case.result
    return (path.read_bytes(), path.stat().st_mode) if path.exists() else None


def everything(driven: Driven, _: list[Event]) -> list[Event]:
    """All of the journal, from the start: waiting for output has taken events already."""
    last = driven.journal.last_seq(driven.session)
    events = [driven.journal.read(driven.session, seq) for seq in range(1, last + 1)]
    return [event for event in events if event is not None]


def updates(events: list[Event]) -> list[list[Any]]:
    """Events as the updates of Buildbot's protocol."""
    found: list[list[Any]] = []
    for event in events:
        if event.kind in ("stdout", "stderr", "header"):
            found.append([event.kind, event.data.decode("utf-8", "replace")])
        elif event.kind == "log":
            found.append(["log", [event.value, event.data.decode("utf-8", "replace")]])
        elif event.kind == "update":
            found.append(event.value)
        elif event.kind == "write":
            found.append(["write", event.data.hex()])
        elif event.kind == "writer":
            found.append(["writer", event.value])
    return found


def normal(found: list[list[Any]]) -> list[list[Any]]:
    """Adjoining pieces of one stream joined; times, ids and tracebacks made equal."""
    joined: list[list[Any]] = []
    for key, value in found:
        last = joined[-1] if joined else None
        if last and last[0] == key and key in ("stdout", "stderr", "header", "write"):
            last[1] += value
        elif last and last[0] == key == "log" and last[1][0] == value[0]:
            last[1][1] += value[1]
        else:
            joined.append([key, list(value) if isinstance(value, list) else value])
    for update in joined:
        if update[0] == "elapsed":
            assert update[1] >= 0
            update[1] = "…"
        elif update[0] == "stat":  # without inode, device, and the times of looking and of making it
            update[1] = [value for place, value in enumerate(update[1]) if place not in (1, 2, 7, 9)]
        elif update[0] == "files":
            update[1] = sorted(update[1])
        elif update[0] == "write" and update[1].startswith("1f8b"):  # gzip's header has the time
            update[1] = update[1][:8] + update[1][16:]
        elif update[0] in ("header", "stderr"):
            update[1] = re.sub(r"elapsedTime=[0-9.]+", "elapsedTime=…", update[1])
            update[1] = re.sub(r"environment id \d+", "environment id …", update[1])
            update[1] = re.sub(r"Traceback \(most recent call last\):\n(?:[ \t]+.*\n)*", "Traceback …\n", update[1])
    return joined
