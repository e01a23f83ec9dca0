"""Remote commands with their arguments, each of which runs through buildbot_worker's classes and through a keeper."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any


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
    "shell env with itself": shell('echo "$PATH|$NEW"', env={"PATH": ["/first", "${PATH}"], "NEW": "${PATH}-${NEW}"}),
    "shell env non-ASCII": shell('echo "$A"', env={"A": "grüße ☃"}),
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
    "shell stdin non-ASCII": shell("cat", initial_stdin="grüße ☃\n"),
    "shell stdin empty": shell("cat; echo done", initial_stdin=""),
    "shell stdin not read": shell("true", initial_stdin="x" * 300000),
    "shell stdin and pty": shell("cat", initial_stdin="text", usePTY=True),
    "shell no stdin": shell("cat; echo eof"),
    "shell pty": shell("test -t 1 && echo terminal", usePTY=True),
    "shell pty rc": shell("echo x >&2; exit 3", usePTY=True),
    "shell bad usePTY": shell("true", usePTY="worker-config"),
    "shell nothing but none": shell(
        "echo x",
        env=None,
        initial_stdin=None,
        timeout=None,
        maxTime=None,
        max_lines=None,
        sigtermTime=None,
        interruptSignal=None,
        logfiles={},
    ),
    "shell timeout": shell("echo begin; sleep 60", timeout=2),
    "shell timeout of one second": shell("echo begin", timeout=1),
    "shell timeout not reached": shell("for i in 1 2 3; do echo $i; sleep 0.3; done", timeout=20),
    "shell maxTime": shell("echo begin; sleep 60", maxTime=2),
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
    "cpdir maxTime": Case(
        command="cpdir", args={"fromdir": "a", "todir": "c", "maxTime": 20}, files={"a/b": "x"}, result="c/b"
    ),
    "cpdir onto a folder that is there": Case(
        command="cpdir", args={"fromdir": "a", "todir": "c"}, files={"a/b": "x", "c/d": "y"}, result="c/a/b"
    ),
    "stat": Case(command="stat", args={"file": "f"}, files={"f": "some text"}),
    "stat folder": Case(command="stat", args={"file": "d"}, files={"d": None}),
    "stat in workdir": Case(command="stat", args={"file": "f", "workdir": "w"}, files={"w/f": "x"}),
    "stat missing": Case(command="stat", args={"file": "nope"}),
    "stat workdir missing": Case(command="stat", args={"file": "nope", "workdir": "w"}),
    "stat nothing": Case(command="stat", args={}),
    "glob": Case(command="glob", args={"path": "*.txt"}, files={"a.txt": "x", "b.py": "y"}),
    "glob several": Case(command="glob", args={"path": "?.txt"}, files={"a.txt": "x", "b.txt": "y", "c.py": "z"}),
    "glob recursive": Case(command="glob", args={"path": "**/x"}, files={"a/b/x": "1"}),
    "glob none": Case(command="glob", args={"path": "nothing*"}),
    "glob no path": Case(command="glob", args={}),
    "listdir": Case(command="listdir", args={"dir": "d"}, files={"d/one": "1"}),
    "listdir several": Case(command="listdir", args={"dir": "d"}, files={"d/one": "1", "d/.two": "2", "d/e/f": "3"}),
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
        args={"workdir": ".", "workersrc": "build/f", "maxsize": None, "blocksize": 16384, "keepstamp": True},
        files={"build/f": "x"},
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
    "uploadDirectory gz": Case(
        command="uploadDirectory",
        args={"workdir": "w", "workersrc": "d", "maxsize": None, "blocksize": 512, "compress": "gz"},
        files={"w/d": None},
    ),
    "uploadDirectory bz2": Case(
        command="uploadDirectory",
        args={"workdir": "w", "workersrc": "d", "maxsize": None, "blocksize": 512, "compress": "bz2"},
        files={"w/d": None},
    ),
    "uploadDirectory of a file": Case(
        command="uploadDirectory",
        args={"workdir": "w", "workersrc": "f", "maxsize": None, "blocksize": 512, "compress": None},
        files={"w/f": "x"},
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
