"""Writes docs/parity.md: which command, argument and step is compared by which test.

Run it as `python -m tests.buildbot.parity.comparing.table`.
Made of the cases themselves, so that the table cannot claim what no test does.
"""

from __future__ import annotations

import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.unit.keeper_processes.driving.cases import CASES

DOCUMENT = Path(__file__).parents[4] / "docs" / "parity.md"
#: Modules with a master.cfg in them.
MODULES = (
    "test_shell_steps", "test_file_steps", "test_unreadable", "test_flow", "test_output_storage", "test_interrupts",
    "test_mixed", "test_sources",
)  # fmt: skip
_HEAD = """# What is compared with Buildbot's own worker

Written by `python -m tests.buildbot.parity.comparing.table`. The differences that remain are in
[differences-to-pb.md](differences-to-pb.md).
"""
_STEP = re.compile(r"\bsteps\.([A-Z]\w+)\(")
_ARGUMENT = re.compile(r"\b([a-zA-Z]\w+)=")


def document() -> str:
    return "\n".join([_HEAD, *_commands(), "", *_steps(), ""])


def _commands() -> Iterator[str]:
    """Each case of a remote command runs through buildbot_worker's classes and through a keeper."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, case in CASES.items():
        for argument in case.args or {"(none)": None}:
            found[case.command, argument].append(name)
        if case.interrupt_on:
            found[case.command, "(interrupted)"].append(name)
    yield "## Remote commands\n"
    yield "Updates, their order and texts, results and resulting files"
    yield f"(`tests/unit/keeper_processes/commands/test_parity.py`, {len(CASES)} cases).\n"
    yield "| command | argument | cases |"
    yield "|---|---|---|"
    for (command, argument), names in found.items():
        some = ", ".join(name.removeprefix(command).strip() or "plain" for name in names[:8])
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        yield f"| `{command}` | {f'`{argument}`' if argument[0] != '(' else argument} | {some}{more} |"


def _steps() -> Iterator[str]:
    """Each step runs in builds on a PB worker and on an agent of one master."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for module in MODULES:
        text = configuration(module)
        places = list(_STEP.finditer(text))
        for place, following in zip(places, [*places[1:], None], strict=True):
            call = text[place.end() : following.start() if following else None]
            found[place.group(1)][module] |= set(_ARGUMENT.findall(_call(call)))
        if "S(" in text:
            for place in re.finditer(r"\bS\(", text):
                found["ShellCommand"][module] |= set(_ARGUMENT.findall(_call(text[place.end() :])))
    yield "## Steps\n"
    yield "Results, states, properties, logs line by line, and files, on a real master with a PB worker and an agent"
    yield "(`tests/buildbot/parity`).\n"
    yield "| step | arguments | tests |"
    yield "|---|---|---|"
    for step in sorted(found):
        arguments = sorted(set().union(*found[step].values()) - {"name"})
        tests = ", ".join(f"`{module}`" for module in sorted(found[step]))
        yield f"| `{step}` | {', '.join(f'`{each}`' for each in arguments)} | {tests} |"


def _call(text: str) -> str:
    """`text` up to the parenthesis that closes a call which was opened before it, without quoted texts."""
    plain = re.sub(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", "''", text, flags=re.DOTALL)
    depth = 1
    for place, character in enumerate(plain):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if not depth:
            return plain[:place]
    return plain


def configuration(module: str) -> str:
    """All texts of a module that are pieces of a master.cfg."""
    names = vars(importlib.import_module(f"tests.buildbot.parity.{module}"))
    return "\n".join(
        text
        for name, text in names.items()
        if isinstance(text, str) and "\n" in text and name.startswith(("CONFIG", "_")) and not name.startswith("__")
    )


if __name__ == "__main__":
    DOCUMENT.write_text(document())
