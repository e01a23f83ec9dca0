"""Shows builds: a table that changes in place on a terminal, else one line per change."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from examples.demo.builds import RESULTS, SUCCESS, Build

STYLES = {None: "cyan", 0: "green", 1: "yellow", 2: "red", 4: "magenta"}


def result_text(build: Build) -> str:
    word = "running" if build.number is not None else "waiting"
    if build.result is not None:
        word = RESULTS[build.result]
    style = STYLES.get(build.result, "red")
    return f"[{style}]{word}[/{style}]"


def table(builds: Sequence[Build], *, final: bool) -> Table:
    shown = Table(title="Builds" if final else None, title_justify="left")
    for heading in ("build", "agent", "result", "time", "what it says"):
        shown.add_column(heading, justify="right" if heading == "time" else "left", no_wrap=heading != "what it says")
    for build in builds:
        name = build.builder if build.number is None else f"{build.builder} #{build.number}"
        shown.add_row(name, build.agent or "-", result_text(build), f"{build.seconds:.1f} s", build.state)
    return shown


class Progress:
    """Context manager; `update` it with all builds whenever they were looked at."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._said: dict[int, tuple[str | None, str]] = {}

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, builds: Sequence[Build]) -> None:
        if self._live:
            self._live.update(table(builds, final=False), refresh=True)
            return
        for build in builds:
            now = (build.agent, build.state)
            if self._said.get(build.request) != now:
                self._said[build.request] = now
                where = f" on {build.agent}" if build.agent else ""
                self._console.print(f"  {build.builder}{where}: {build.state}", highlight=False)


def all_succeeded(builds: Sequence[Build]) -> bool:
    return all(build.result == SUCCESS for build in builds)
