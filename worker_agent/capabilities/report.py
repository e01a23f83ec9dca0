"""`worker-agent capabilities`: what was found, how, where and when, as a table or as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence

from worker_agent.capabilities.inventory import Evidence, Inventory

#: Wider columns are cut, with an ellipsis; the whole text is in --json.
WIDTHS = (28, 20, 13, 56, 8)


def table_of(inventory: Inventory) -> str:
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


def json_of(inventory: Inventory) -> str:
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


def show(inventory: Inventory, *, as_json: bool = False) -> str:
    """The text that `worker-agent capabilities` prints."""
    return json_of(inventory) if as_json else table_of(inventory)
