"""What Buildbot keeps of a build, as plain data in which two workers' builds can be compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from tests.harness.master import RESULTS, Build, BuildMaster

PREPARATION = "worker_preparation"
#: Properties in which workers differ by their nature; test_workers.py looks at them.
OF_THE_WORKER = frozenset({"agent", "agent_account", "agent_instance", "capabilities", "builderid", "run"})
_RUNS = re.compile(r"@(?:pb|msgpack|amqp)\b")
#: Of the tests and of examples/side-by-side. A stream's letter may stand before one.
_WORKERS = re.compile(r"(?:w-(?:pb|msgpack|amqp-\d+)|old-machine|newer-machine|linux-\d+)\b")
#: What `cp -v` and Subversion's XML say in any order, and what Git says through two pipes at once.
_ANY_ORDER = re.compile(
    r"o'.*' -> '.*'$|o +(?:kind|path|revision|props|item|uuid)=|"
    r"e(?:Switched to|Reset branch|Already on) |oYour branch is "
)
_NORMAL = (
    (re.compile(r"\[main [0-9a-f]{7,}\]"), "[main COMMIT]"),  # the time is part of it
    (re.compile(r"PYTEST_CURRENT_TEST=.*"), "PYTEST_CURRENT_TEST=T"),  # of when the worker was started
    (re.compile(r"elapsedTime=\d+\.\d+"), "elapsedTime=T"),
    (re.compile(r"attempting to kill, pid \d+|process \d+|pid \d+"), "process PID"),
    (re.compile(r"\(\d+ secs\)"), "(T secs)"),
    (re.compile(r"\b0x[0-9a-f]{6,}\b"), "0xADDRESS"),
)


@dataclass(frozen=True, kw_only=True)
class StepPicture:
    name: str
    result: str
    state: str
    hidden: bool
    urls: tuple[tuple[str, str], ...]
    #: log's name -> (its type, its lines, each with Buildbot's stream letter where the type has them)
    logs: Mapping[str, tuple[str, tuple[str, ...]]]


@dataclass(frozen=True, kw_only=True)
class BuildPicture:
    result: str
    state: str
    steps: tuple[StepPicture, ...]
    #: name -> (value, source)
    properties: Mapping[str, tuple[str, str]]
    folders: tuple[str, ...] = field(default=(), compare=False)


class Painter:
    """`paint(build)`; `folders` are those of workers, longest first, in which builds differ."""

    def __init__(self, master: BuildMaster) -> None:
        self._master = master

    def paint(self, build: Build) -> BuildPicture:
        found = self._master.get(f"/builds/{build.id}/properties")["properties"][0]
        base = str(found["basedir"][0]) if "basedir" in found else ""
        normal = Normal(base)
        steps = tuple(self._step(step, normal) for name, step in build.steps.items() if name != PREPARATION)
        properties = {
            name: (normal(json.dumps(value, sort_keys=True)), normal(source))
            for name, (value, source) in sorted(found.items())
            if name not in OF_THE_WORKER
        }
        return BuildPicture(
            result=build.result, state=normal(build.row["state_string"]), steps=steps, properties=properties,
            folders=(base,),
        )  # fmt: skip

    def _step(self, step: Mapping[str, Any], normal: Normal) -> StepPicture:
        logs = {}
        for log in self._master.get(f"/steps/{step['stepid']}/logs")["logs"]:
            logs[log["name"]] = (log["type"], _sorted_groups(normal(text) for text in self.lines(log)))
        return StepPicture(
            name=step["name"],
            result="RUNNING" if step["results"] is None else RESULTS[step["results"]],
            state=normal(step["state_string"]),
            hidden=step["hidden"],
            urls=tuple((normal(_numberless(url["name"])), normal(_numberless(url["url"]))) for url in step["urls"]),
            logs=logs,
        )

    def lines(self, log: Mapping[str, Any]) -> list[str]:
        """The stored lines of one log, split at "\\n" only."""
        if not log["num_lines"]:
            return []
        content = self._master.get(f"/logs/{log['logid']}/contents?offset=0&limit={log['num_lines']}")
        text = str(content["logchunks"][0]["content"])
        return text.removesuffix("\n").split("\n")


def _sorted_groups(lines: Iterable[str]) -> tuple[str, ...]:
    """Groups of lines that programs print in any order (of the file system, of a hash table), sorted."""
    found: list[str] = []
    for any_order, group in groupby(lines, key=lambda line: bool(_ANY_ORDER.match(line))):
        some = list(group)
        found += sorted(line.removesuffix(">") for line in some) if any_order else some
    return tuple(found)


def _numberless(text: str) -> str:
    """Without the ids of build requests, builders and builds."""
    return re.sub(r"([/#])\d+", r"\1N", text)


class Normal:
    """Text without what differs between any two builds: times, process ids, folders, workers' names."""

    def __init__(self, base: str) -> None:
        self._base = base

    def __call__(self, text: str) -> str:
        if self._base:
            text = text.replace(self._base, "BASEDIR")
        text = _WORKERS.sub("WORKER", _RUNS.sub("@RUN", text))
        for pattern, replacement in _NORMAL:
            text = pattern.sub(replacement, text)
        return text
