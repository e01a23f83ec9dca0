"""Writes the diagrams in docs/ anew from the tables that the machines run on: `make docs`.

In a page a diagram stands between two lines, `<!-- table NAME -->` and `<!-- end of table NAME -->`. With `--check`
nothing is written; exit code 1: a page is stale (`tests/unit/test_diagrams.py` asks for that, too).
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

from contracts.machines.transitions import Row, Table
from worker_agent.keeper import session

ROOT = Path(__file__).resolve().parent.parent

#: name -> page below docs/, and where its table is: "module:NAME", which may be a function that gives it
TABLES: dict[str, tuple[str, str]] = {
    "agent-session": ("protocol.md", "worker_agent.core.transitions:TABLE"),
    "bridge-request": ("protocol.md", "master_bridge.core.transitions:TABLE"),
    "noted-session": ("architecture.md", "master_bridge.core.rollcall:TABLE"),
    "search": ("architecture.md", "master_bridge.buildbot.search.search:TABLE"),
    "agent-orders": ("architecture.md", "worker_agent.core.orders:TABLE"),
    "keeper-command": ("architecture.md", "docs.generate_diagrams:keeper_command"),
}


def table(name: str) -> Table[Any, Any, Any]:
    """The table of that name."""
    module, _, attribute = TABLES[name][1].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    return found if isinstance(found, Table) else found()  # type: ignore[no-any-return]  # each is a table


def keeper_command() -> Table[Any, Any, Any]:
    """A keeper imports the standard library only, so its table is of plain tuples there."""
    rows = {cell: Row(*row) for cell, row in session.ROWS.items()}
    return Table(
        start=session.State.UNKNOWN, states=session.State, inputs=session.Cue, rows=rows, ignored=session.IGNORED
    )


def drawn(name: str) -> str:
    """What stands between the two lines of `name`."""
    table_ = table(name)
    left_out = table_.left_out()
    return f"\n{table_.diagram()}\n" + (f"\nIgnored, and why:\n\n{left_out}\n" if left_out else "")


def renewed(text: str, page: str) -> str:
    """`text` of `page` with its diagrams as the tables are now. Raises LookupError where a diagram has no place."""
    for name in (name for name, (of, _) in TABLES.items() if of == page):
        first, last = f"<!-- table {name} -->\n", f"\n<!-- end of table {name} -->"
        place = re.compile(f"(?<={re.escape(first)}).*?(?={re.escape(last)})", re.DOTALL)
        if len(place.findall(text)) != 1:
            raise LookupError(f"docs/{page} needs the lines {first.strip()} and {last.strip()}, once")
        text = place.sub(lambda _, name=name: drawn(name), text)
    return text


def stale() -> dict[Path, str]:
    """Pages that are not as they should be, and what they should be."""
    pages = {ROOT / "docs" / page: page for page, _ in TABLES.values()}
    texts = {path: renewed(path.read_text(encoding="utf-8"), page) for path, page in pages.items()}
    return {path: text for path, text in texts.items() if text != path.read_text(encoding="utf-8")}


def main(arguments: list[str]) -> int:
    found = stale()
    for path, text in found.items():
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {'stale' if '--check' in arguments else 'written'}")
    return 1 if found and "--check" in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
