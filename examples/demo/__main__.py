"""Runs the demo: see `--help`."""

from __future__ import annotations

import fcntl
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click
from rich.console import Console

from examples.demo.broker import ROOT, Broker, no_broker, open_broker
from examples.demo.builds import Build, Master
from examples.demo.checkout import read_checkout
from examples.demo.errors import DemoError
from examples.demo.pictures import AGENTS as PICTURED
from examples.demo.pictures import take, traced
from examples.demo.processes import DemoMaster, Processes, start_agent
from examples.demo.progress import Progress, all_succeeded, table

STATE = ROOT / ".state" / "demo"
#: What is built, in this order of asking.
BUILDS = ("battery", "tests", "lint", "lint")
#: Nobody here serves it (on Linux): it waits, and the page says why.
UNSERVED = "mac"
#: Agents and what is special about them: one says that it has no make, so only one column's work comes to it.
AGENTS: dict[str, tuple[str, ...]] = {"agent-1": (), "agent-2": (), "agent-3": ("--without", "make")}
DEADLINE = 900.0
LOOK_EVERY = 0.7


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--once", is_flag=True, help="End when the builds have ended, with status 0 if all succeeded.")
@click.option(
    "--pictures", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Then write the documentation's pictures to this folder, and end.",
)  # fmt: skip
@click.option(
    "--broker", type=click.Choice(["rabbitmq", "none"]), default="rabbitmq", show_default=True,
    help="What is between the master and its agents; none: they come to the master itself.",
)  # fmt: skip
def main(once: bool, pictures: Path | None, broker: str) -> None:
    """Build this repository on this machine: a Buildbot master, three agents, and RabbitMQ between them or nothing.

    The RabbitMQ is that of AMQP_URL, else the compose file's where a Docker engine answers, else a private node.
    All state is in .state/demo; logs are kept there.
    """
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell without job control starts its jobs with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/dim]  {text}")

    try:
        with (
            traced() if pictures else nullcontext() as traces,
            state_folder(),
            running_demo(say, PICTURED if pictures else AGENTS, broker) as (master, processes, opened),
        ):
            builds = build_all(master, processes, console)
            console.print(table(builds, final=True))
            for build in builds:
                if build.result != 0:
                    console.print(f"  {build.builder}: {build.url}")
            if pictures and traces:
                for picture in take(master, opened.url, traces, pictures):
                    say(f"picture: {picture}")
            elif not once:
                master.force(UNSERVED)
                say(f"the fleet's page: [bold]{page_of(master)}[/bold]")
                say(f"a build of {UNSERVED} waits there: no agent here has os==darwin. Ctrl-C ends everything")
                wait(processes)
            succeeded = all_succeeded(builds)
    except DemoError as error:
        console.print("[red]The demo cannot go on:[/red]")
        console.print(str(error), markup=False)
        console.print(f"logs: {STATE / 'logs'}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("stopped")
        sys.exit(130 if once else 0)
    if not succeeded:
        console.print(f"logs: {STATE / 'logs'}")
        sys.exit(1)


@contextmanager
def state_folder() -> Iterator[None]:
    """An empty .state/demo, held by one demo at a time."""
    STATE.parent.mkdir(exist_ok=True)
    with (STATE.parent / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("a demo runs in this folder already: stop it (Ctrl-C) first") from None
        # Some 20,000 files of the last demo's builds: nobody waits for their end.
        old = STATE.with_name("demo.old")
        shutil.rmtree(old, ignore_errors=True)
        with ThreadPoolExecutor(max_workers=1) as beside:
            if STATE.exists():
                STATE.rename(old)
                beside.submit(shutil.rmtree, old, ignore_errors=True)
            (STATE / "logs").mkdir(parents=True)
            yield


def page_of(master: Master) -> str:
    """The address that shows the fleet."""
    return f"{master.url}#/fleet"


@contextmanager
def running_demo(
    say: Callable[[str], None], agents: Mapping[str, tuple[str, ...]], broker_kind: str
) -> Iterator[tuple[Master, Processes, Broker]]:
    """Broker, master and `agents`, up; all of them ended afterwards."""
    checkout = read_checkout(ROOT)
    say(f"builds {checkout.revision[:10]} “{checkout.subject}” of {checkout.folder}")
    if checkout.uncommitted:
        say(f"[yellow]not in it: {checkout.uncommitted} uncommitted changes[/yellow]")
    processes = Processes(logs=STATE / "logs")
    demo_master = DemoMaster(STATE / "master", checkout.folder, checkout.revision)
    with ThreadPoolExecutor(max_workers=1) as beside:
        made = beside.submit(demo_master.create)
        opening = nullcontext(no_broker()) if broker_kind == "none" else open_broker(STATE / "broker", say)
        with opening as broker:
            say(f"broker: {broker.description}")
            try:
                made.result()
                agents_url = broker.agents_url(STATE / "master")
                demo_master.start(processes, broker.url)
                master = Master(demo_master.url)
                say(f"master: up, and its page of the fleet: [bold]{page_of(master)}[/bold]")
                for name, options in agents.items():  # after it: they would take the machine from it
                    start_agent(processes, STATE / name, name, agents_url, *options)
                say(f"agents: {', '.join(agents)}; they look for what this machine can do")
                try:
                    yield master, processes, broker
                finally:
                    master.close()
            finally:
                processes.stop()


def build_all(master: Master, processes: Processes, console: Console) -> list[Build]:
    """Ask for all builds and show them until the last has ended. Raises `DemoError` after 15 min."""
    builds = [master.force(builder) for builder in BUILDS]
    deadline = time.monotonic() + DEADLINE
    with Progress(console) as progress:
        while not all(build.finished for build in builds):
            processes.check()
            builds = [build if build.finished else master.look(build) for build in builds]
            progress.update(builds)
            if time.monotonic() > deadline:
                waiting = ", ".join(f"{build.builder} ({build.state})" for build in builds if not build.finished)
                raise DemoError(f"not finished after {DEADLINE / 60:.0f} min: {waiting}")
            time.sleep(LOOK_EVERY)
    return builds


def wait(processes: Processes) -> None:
    """Until Ctrl-C; raises `DemoError` when a process ends before."""
    while True:
        processes.check()
        time.sleep(1)


if __name__ == "__main__":
    main(prog_name="python -m examples.demo")
