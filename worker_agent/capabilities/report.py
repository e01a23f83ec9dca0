"""`worker-agent capabilities`: what was found, how, where and when, as a table or as JSON."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from worker_agent.capabilities.detect import detect
from worker_agent.capabilities.inventory import Evidence, Inventory
from worker_agent.capabilities.options import DEFAULT_FOLDERS, BadCapability, DetectOptions

#: Wider columns are cut, with an ellipsis; the whole text is in --json.
WIDTHS = (28, 20, 13, 56, 8)


def as_table(inventory: Inventory) -> str:
    """The inventory for people: name, version, how it was found, path, when; then the failed probes with reasons."""
    lines = _table(
        ("NAME", "VERSION", "FOUND BY", "PATH", "WHEN"),
        (
            (
                item.capability.name,
                item.capability.version or "-",
                item.how,
                item.path or item.command or "-",
                time.strftime("%H:%M:%S", time.localtime(item.when)),
            )
            for item in inventory.evidence
        ),
    )
    if inventory.failures:
        lines += ["", "Failed probes:"]
        lines += [
            f"  {failure.probe}{f' ({failure.path})' if failure.path else ''}: {failure.reason}"
            for failure in inventory.failures
        ]
    counts = f"{len(inventory.capabilities)} capabilities, {len(inventory.failures)} failed probes"
    lines += ["", f"{counts}, {inventory.seconds:.1f} s"]
    return "\n".join(lines)


def as_json(inventory: Inventory) -> str:
    """The same for programs, nothing cut. `when`: seconds since the epoch."""
    return json.dumps(
        {
            "capabilities": [_record(item) for item in inventory.evidence],
            "failures": [
                {"probe": failure.probe, "path": failure.path, "reason": failure.reason, "when": failure.when}
                for failure in inventory.failures
            ],
            "seconds": round(inventory.seconds, 3),
        },
        indent=2,
    )


def _record(item: Evidence) -> dict[str, object]:
    return {
        "name": item.capability.name,
        "version": item.capability.version,
        "how": item.how,
        "probe": item.probe,
        "path": item.path,
        "command": item.command,
        "line": item.line,
        "when": item.when,
    }


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cut = [[_cut(cell, width) for cell, width in zip(row, WIDTHS, strict=True)] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cut) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cut]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


@click.command("capabilities", short_help="What this machine can do, and how that was found out.")
@click.option("--json", "json_", is_flag=True, help="For programs: JSON, nothing cut.")
@click.option("--auto-capabilities/--no-auto-capabilities", default=True, show_default=True, help="Probe the machine.")
@click.option("--capability", multiple=True, metavar="NAME[=VERSION]", help="Also claim this one.")
@click.option("--without", multiple=True, metavar="NAME", help="Do not claim this one (also: 'python<3').")
@click.option(
    "--capabilities-d",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help=f"Folders with probes of your own. Default: {', '.join(str(folder) for folder in DEFAULT_FOLDERS)}.",
)
def command(
    *,
    json_: bool,
    auto_capabilities: bool,
    capability: tuple[str, ...],
    without: tuple[str, ...],
    capabilities_d: tuple[Path, ...],
) -> None:
    """Probe this machine; print what was found, how, where and when, and the failed probes with their reasons."""
    try:
        options = DetectOptions(
            auto=auto_capabilities, fixed=capability, without=without, folders=capabilities_d or DEFAULT_FOLDERS
        )
    except BadCapability as error:
        raise click.UsageError(str(error)) from None
    show(options, as_json_text=json_)


def show(options: DetectOptions, *, as_json_text: bool = False) -> None:
    """Detect, and print the table or the JSON to standard output."""
    inventory = asyncio.run(detect(options))
    click.echo(as_json(inventory) if as_json_text else as_table(inventory))
