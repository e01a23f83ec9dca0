"""The pictures of the documentation, from a run of the demo: `make screenshot`.

The fleet is at work in them: builds that have ended, that run, that wait for an agent; one that no machine serves; an
agent that an operator has paused.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from examples.demo.browser import Browser, browser
from examples.demo.builds import Master
from examples.demo.errors import DemoError
from examples.demo.processes import BIN
from examples.demo.terminal import draw, draw_session, printed

if TYPE_CHECKING:
    from examples.demo.collector import Collector

#: Agents of the pictures, and what is special about them.
AGENTS: dict[str, tuple[str, ...]] = {
    "builder1": (),
    "builder2": (),
    "builder3": ("--without", "make"),
    "builder4": (),
    "builder5": (),
}
PAUSED, REASON = "builder5", "its disk is being replaced"
#: Asked for together: more than the agents can run at once.
WORK = ("tests", "lint", "tests", "battery", "tests", "lint", "tests", "lint", "mac")
#: Rows of the page that run and that wait, in a picture that shows a fleet at work.
BUSY, WAITING = 3, 3
COLUMNS = 116
#: Agents of the recording of `master-bridge run`, and what is run on them.
RUN_ON = ("builder1", "builder2", "builder3")
RUNS = (
    ("sh", "-c", 'echo "$(nproc) processors, $(uname -sm)"'),
    ("sh", "-c", "for n in 1 2 3; do echo $n of 3; sleep 0.$$; done"),
)
#: The builder whose first build's trace is drawn, and seconds that its last spans have for their way here.
TRACED, ARRIVE = "lint", 30.0


@contextmanager
def traced() -> Iterator[Collector]:
    """A collector, which master and agents that are started meanwhile send their traces to."""
    from examples.demo.collector import collecting

    with collecting() as collector:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        yield collector


def take(master: Master, amqp_url: str, traces: Collector, folder: Path) -> list[Path]:
    """Write them to `folder`; the master's first builds have ended. Raises `DemoError`."""
    environment = {"MASTER_BRIDGE_AMQP_URL": amqp_url}
    battery = folder / "battery.svg"
    battery.write_text(master.log("battery", "battery", "picture") + "\n", encoding="utf-8")
    order = [str(BIN / "master-bridge"), "drain", PAUSED, "--reason", REASON]
    _run(order, environment)
    for builder in WORK:
        master.force(builder)
    taken = [folder / name for name in ("fleet.png", "fleet-waiting.png", "terminal.svg", "trace.svg", "run.svg")]
    with browser() as window:
        window.show(f"{master.url}#/fleet")
        window.wait(lambda: _at_work(window), f"{BUSY} busy agents and {WAITING} that wait")
        window.take(taken[0], "table")
        window.click("[data-tab=waiting]")
        window.wait(lambda: len(window.texts("tr[data-request]")) >= WAITING, f"{WAITING} requests that wait")
        window.take(taken[1], "table")
    command = [str(BIN / "master-bridge"), "fleet", "--once"]
    draw("master-bridge fleet --once", printed(command, environment, COLUMNS), taken[2], COLUMNS)
    _draw_trace(traces, taken[3])
    record_run(environment, taken[4])
    return [battery, *taken]


def record_run(environment: dict[str, str], picture: Path) -> None:
    """Commands on three agents at once, as an operator gives them. Raises `DemoError`."""
    session = []
    agents = [part for name in RUN_ON for part in ("--on", name)]
    for words in RUNS:
        command = [str(BIN / "master-bridge"), "run", *agents, "--", *words]
        session.append((shlex.join(["master-bridge", *command[1:]]), printed(command, environment, COLUMNS)))
    draw_session(session, picture, COLUMNS)


def _draw_trace(traces: Collector, picture: Path) -> None:
    from examples.demo.waterfall import write

    deadline = time.monotonic() + ARRIVE
    while not traces.named(f"build {TRACED}"):
        if time.monotonic() > deadline:
            raise DemoError(f"no trace of {TRACED} came within {ARRIVE:g} s")
        time.sleep(0.1)
    write(traces.spans, picture, TRACED)


def _at_work(window: Browser) -> bool:
    states = window.attributes("tr[data-agent]", "data-state")
    waiting = window.texts("[data-summary=waiting]")
    return states.count("busy") >= BUSY and waiting != [] and int(waiting[0].split()[0]) >= WAITING


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
