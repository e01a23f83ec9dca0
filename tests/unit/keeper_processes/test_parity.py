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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contracts.messages import Event
from tests.unit.keeper_processes.harness import Driven
from worker_agent.keeper.environment import command_environment

ENV = {**command_environment(os.environ), "TZ": "UTC"}
ENV.pop("PYTEST_CURRENT_TEST", None)
REFERENCE = Path(__file__).with_name("reference.py")


@dataclass(frozen=True, kw_only=True)
class Case:
    command: str
    args: dict[str, Any]
    #: path below the builder's folder -> content; None for a folder
    files: dict[str, str | None] = field(default_factory=dict)
    content: str = ""
    interrupt_on: str | None = None
    #: file whose content must be equal afterwards (None there: it must be missing)
    result: str | None = None


def shell(
    command: Any, interrupt_on: str | None = None, files: dict[str, str | None] | None = None, **args: Any
) -> Case:
    args = {"workdir": "build", "command": command, **args}
    return Case(command="shell", args=args, interrupt_on=interrupt_on, files=files or {})


GROW = "echo one > log.txt; sleep 0.2; echo two >> log.txt"

CASES: dict[str, Case] = {
    "shell string": shell("echo hello; echo $((1+1))"),
    "shell list": shell(["printf", "%s\\n", "a b", "", "it's", "$HOME"]),
    "shell list with empty item": shell(["echo", "", "x"]),
    "shell non-ASCII": shell(["echo", "grüße ☃"]),
    "shell numbers in a list": shell(["echo", 1, 2.5]),
    "shell obfuscated": shell(["echo", ["obfuscated", "secret-word", "XXXX"], "end"]),
    "shell rc": shell("exit 7"),
    "shell rc 255": shell("exit 255"),
    "shell killed by itself": shell("kill -9 $$"),
    "shell terminated by itself": shell("kill -TERM $$"),
    "shell stderr": shell("echo out; sleep 0.1; echo err >&2"),
    "shell want_stdout off": shell("echo out; echo err >&2", want_stdout=False),
    "shell want_stderr off": shell("echo out; echo err >&2", want_stderr=False),
    "shell want numbers": shell("echo out; echo err >&2", want_stdout=1, want_stderr=0),
    "shell logEnviron off": shell("true", logEnviron=False),
    "shell env": shell('echo "$A-$B-$C"', env={"A": "1", "B": ["x", "y"], "C": "${A}${HOME}${NOPE}"}),
    "shell env none": shell('echo "[$HOME]"', env={"HOME": None}),
    "shell env PYTHONPATH": shell('echo "$PYTHONPATH"', env={"PYTHONPATH": "/p"}),
    "shell env PYTHONPATH list": shell('echo "$PYTHONPATH"', env={"PYTHONPATH": ["/p", "/q"]}),
    "shell env bad": shell("true", env={"A": 5}),
    "shell env bad list": shell("true", env={"A": [5]}),
    "shell env PYTHONPATH none": shell("true", env={"PYTHONPATH": None}),
    "shell env empty": shell("true", env={}),
    "shell PWD": shell("pwd; echo $PWD"),
    "shell workdir made": Case(command="shell", args={"workdir": "a/b/c", "command": "pwd"}),
    "shell workdir is a file": Case(command="shell", args={"workdir": "f", "command": "pwd"}, files={"f": "x"}),
    "shell workdir below a file": Case(command="shell", args={"workdir": "f/g", "command": "pwd"}, files={"f": "x"}),
    "shell no workdir": Case(command="shell", args={"command": "pwd"}),
    "shell no command": Case(command="shell", args={"workdir": "build"}),
    "shell not there": shell(["no-such-program", "x"]),
    "shell not executable": shell(["./f"], files={"build/f": "text"}),
    "shell script without interpreter": shell(["./nothing"], files={"build/nothing": None}),
    "shell NUL in argument": shell(["echo", "a\0b"]),
    "shell stdin": shell("cat; echo done", initial_stdin="some\ntext"),
    "shell stdin empty": shell("cat; echo done", initial_stdin=""),
    "shell stdin not read": shell("true", initial_stdin="x" * 300000),
    "shell stdin and pty": shell("cat", initial_stdin="text", usePTY=True),
    "shell no stdin": shell("cat; echo eof"),
    "shell pty": shell("test -t 1 && echo terminal", usePTY=True),
    "shell pty rc": shell("echo x >&2; exit 3", usePTY=True),
    "shell bad usePTY": shell("true", usePTY="worker-config"),
    "shell timeout": shell("echo begin; sleep 30", timeout=0.4),
    "shell timeout of one second": shell("echo begin", timeout=1),
    "shell timeout not reached": shell("for i in 1 2 3; do echo $i; sleep 0.3; done", timeout=0.8),
    "shell maxTime": shell("while :; do echo x; sleep 0.4; done", maxTime=1),
    "shell maxTime and timeout": shell("echo quick", maxTime=10, timeout=1200),
    "shell max_lines": shell("printf '1\\n2\\n3\\n'; sleep 30", max_lines=2),
    "shell max_lines kept": shell("printf '1\\r\\n2\\r3'", max_lines=2),
    "shell interrupt": shell("echo begin; sleep 30", interrupt_on="begin"),
    "shell interrupt TERM": shell("echo begin; exec sleep 30", interrupt_on="begin", interruptSignal="TERM"),
    # not a shell's trap: a shell that forks just then can miss the signal
    "shell interrupt INT caught": shell(
        [
            sys.executable,
            "-c",
            "import os,signal,time; signal.signal(2,lambda *_: os._exit(0)); os.write(1,b'begin\\n'); time.sleep(60)",
        ],
        interrupt_on="begin",
        interruptSignal="INT",
    ),
    "shell interrupt ignored": shell(
        [sys.executable, "-c", "import os,signal,time; signal.signal(15,1); os.write(1,b'begin\\n'); time.sleep(60)"],
        interrupt_on="begin",
        interruptSignal="TERM",
    ),
    "shell sigtermTime heeded": shell("echo begin; exec sleep 30", interrupt_on="begin", sigtermTime=5),
    "shell sigtermTime ignored": shell(
        [sys.executable, "-c", "import os,signal,time; signal.signal(15,1); os.write(1,b'begin\\n'); time.sleep(60)"],
        interrupt_on="begin",
        sigtermTime=0.5,
    ),
    "shell logfiles": shell(GROW, logfiles={"log": "log.txt"}),
    "shell logfiles dict": shell(GROW, logfiles={"log": {"filename": "log.txt"}}),
    "shell logfiles replaced": shell(
        "rm log.txt; echo anew > log.txt", logfiles={"log": "log.txt"}, files={"build/log.txt": "old\n"}
    ),
    "shell logfiles unchanged": shell("true", logfiles={"log": "log.txt"}, files={"build/log.txt": "old\n"}),
    "shell logfiles missing": shell("true", logfiles={"log": "nothing.txt"}),
    "mkdir": Case(command="mkdir", args={"dir": "a/b"}),
    "mkdir there": Case(command="mkdir", args={"dir": "a"}, files={"a": None}),
    "mkdir on a file": Case(command="mkdir", args={"dir": "f"}, files={"f": "x"}),
    "mkdir below a file": Case(command="mkdir", args={"dir": "f/g"}, files={"f": "x"}),
    "mkdir nothing": Case(command="mkdir", args={}),
    "rmdir": Case(command="rmdir", args={"dir": "a"}, files={"a/b/c": "x"}),
    "rmdir list": Case(command="rmdir", args={"dir": ["a", "z", "f"]}, files={"a/b": "x", "f": "y"}),
    "rmdir empty list": Case(command="rmdir", args={"dir": []}),
    "rmdir timeout": Case(command="rmdir", args={"dir": "a", "timeout": 5, "maxTime": 9, "logEnviron": False}),
    "rmdir impossible": Case(command="rmdir", args={"dir": "/proc/self/fd"}),
    "cpdir": Case(command="cpdir", args={"fromdir": "a", "todir": "c/d"}, files={"a/b": "x"}, result="c/d/b"),
    "cpdir missing": Case(command="cpdir", args={"fromdir": "a", "todir": "c"}),
    "cpdir no todir": Case(command="cpdir", args={"fromdir": "a"}),
    "cpdir options": Case(
        command="cpdir", args={"fromdir": "a", "todir": "c", "timeout": None, "logEnviron": False}, files={"a/b": "x"}
    ),
    "stat missing": Case(command="stat", args={"file": "nope"}),
    "stat workdir missing": Case(command="stat", args={"file": "nope", "workdir": "w"}),
    "stat nothing": Case(command="stat", args={}),
    "glob": Case(command="glob", args={"path": "*.txt"}, files={"a.txt": "x", "b.py": "y"}),
    "glob recursive": Case(command="glob", args={"path": "**/x"}, files={"a/b/x": "1"}),
    "glob none": Case(command="glob", args={"path": "nothing*"}),
    "glob no path": Case(command="glob", args={}),
    "listdir": Case(command="listdir", args={"dir": "d"}, files={"d/one": "1"}),
    "listdir missing": Case(command="listdir", args={"dir": "d"}),
    "listdir file": Case(command="listdir", args={"dir": "f"}, files={"f": "x"}),
    "rmfile": Case(command="rmfile", args={"path": "f"}, files={"f": "x"}, result="f"),
    "rmfile missing": Case(command="rmfile", args={"path": "f"}),
    "rmfile folder": Case(command="rmfile", args={"path": "d"}, files={"d": None}),
    "uploadFile": Case(
        command="uploadFile",
        args={"workdir": "w", "workersrc": "f", "maxsize": None, "blocksize": 3},
        files={"w/f": "some text that is longer than a block"},
    ),
    "uploadFile empty": Case(
        command="uploadFile",
        args={"workdir": "w", "workersrc": "f", "maxsize": None, "blocksize": 3},
        files={"w/f": ""},
    ),
    "uploadFile keepstamp": Case(
        command="uploadFile",
        args={"workdir": ".", "workersrc": "/etc/hostname", "maxsize": None, "blocksize": 16384, "keepstamp": True},
    ),
    "uploadFile missing": Case(
        command="uploadFile", args={"workdir": "w", "workersrc": "f", "maxsize": None, "blocksize": 3}
    ),
    "uploadFile folder": Case(
        command="uploadFile",
        args={"workdir": "w", "workersrc": "f", "maxsize": None, "blocksize": 3},
        files={"w/f": None},
    ),
    "uploadFile maxsize": Case(
        command="uploadFile",
        args={"workdir": "w", "workersrc": "f", "maxsize": 10, "blocksize": 3},
        files={"w/f": "0123456789abc"},
    ),
    "uploadFile of exactly maxsize": Case(
        command="uploadFile",
        args={"workdir": "w", "workersrc": "f", "maxsize": 10, "blocksize": 10},
        files={"w/f": "0123456789"},
    ),
    "uploadFile no maxsize": Case(command="uploadFile", args={"workdir": "w", "workersrc": "f", "blocksize": 3}),
    "uploadFile no blocksize": Case(command="uploadFile", args={"workdir": "w", "workersrc": "f", "maxsize": 3}),
    "uploadDirectory missing": Case(
        command="uploadDirectory",
        args={"workdir": "w", "workersrc": "d", "maxsize": None, "blocksize": 512, "compress": None},
    ),
    "uploadDirectory": Case(
        command="uploadDirectory",
        args={"workdir": "w", "workersrc": "d", "maxsize": None, "blocksize": 512, "compress": None},
        files={"w/d": None},
    ),
    "downloadFile": Case(
        command="downloadFile",
        args={"workdir": "w", "workerdest": "d/f", "maxsize": None, "blocksize": 5, "mode": None},
        content="content of some length",
        result="w/d/f",
    ),
    "downloadFile empty": Case(
        command="downloadFile",
        args={"workdir": "w", "workerdest": "f", "maxsize": None, "blocksize": 5, "mode": None},
        result="w/f",
    ),
    "downloadFile mode": Case(
        command="downloadFile",
        args={"workdir": "w", "workerdest": "f", "maxsize": None, "blocksize": 5, "mode": 0o755},
        content="#!/bin/sh",
        result="w/f",
    ),
    "downloadFile replaces": Case(
        command="downloadFile",
        args={"workdir": "w", "workerdest": "f", "maxsize": None, "blocksize": 5, "mode": None},
        content="new",
        files={"w/f": "old content"},
        result="w/f",
    ),
    "downloadFile maxsize": Case(
        command="downloadFile",
        args={"workdir": "w", "workerdest": "f", "maxsize": 7, "blocksize": 5, "mode": None},
        content="0123456789",
        result="w/f",
    ),
    "downloadFile of exactly maxsize": Case(
        command="downloadFile",
        args={"workdir": "w", "workerdest": "f", "maxsize": 10, "blocksize": 5, "mode": None},
        content="0123456789",
        result="w/f",
    ),
    "downloadFile on a folder": Case(
        command="downloadFile",
        args={"workdir": "w", "workerdest": "f", "maxsize": None, "blocksize": 5, "mode": None},
        content="x",
        files={"w/f": None},
    ),
    "downloadFile below a file": Case(
        command="downloadFile",
        args={"workdir": "w", "workerdest": "f/g", "maxsize": None, "blocksize": 5, "mode": None},
        content="x",
        files={"w/f": "file"},
    ),
    "downloadFile no mode": Case(
        command="downloadFile", args={"workdir": "w", "workerdest": "f", "maxsize": None, "blocksize": 5}
    ),
    "unknown command": Case(command="fly", args={"to": "moon"}),
}


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
    process.wait()


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
        elif update[0] in ("header", "stderr"):
            update[1] = re.sub(r"elapsedTime=[0-9.]+", "elapsedTime=…", update[1])
            update[1] = re.sub(r"environment id \d+", "environment id …", update[1])
            update[1] = re.sub(r"Traceback \(most recent call last\):\n(?:[ \t]+.*\n)*", "Traceback …\n", update[1])
    return joined
