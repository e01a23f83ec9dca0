"""Writes deploy/share/ anew: manual pages and shell completion of both programs, made of their commands: `make docs`.

The wheel installs it below `share/` of its environment. `stale` is what a test asks for.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from contracts.operations.manual import Manual, Section
from master_bridge.cli import main as master_bridge
from worker_agent.program.cli import AgentProgram, make_cli

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy" / "share"
PROGRAMS: dict[str, click.Group] = {"master-bridge": master_bridge, "worker-agent": make_cli()}
#: Shell -> its class, and where it looks for the completion of a program below share/.
SHELLS: dict[str, tuple[type[ShellComplete], str]] = {
    "bash": (BashComplete, "bash-completion/completions/{}"),
    "zsh": (ZshComplete, "zsh/site-functions/_{}"),
    "fish": (FishComplete, "fish/vendor_completions.d/{}.fish"),
}
DOCS = "docs/README.md in the source distribution"


# -- manual pages: man(7) ---------------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """As troff takes it literally; hyphens are those of options."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def paragraphs(text: str) -> Iterator[str]:
    """Prose, or, below click's mark, lines that stay as they are."""
    for part in inspect.cleandoc(text).split("\n\n"):
        lines = [line for line in part.splitlines() if line != "\b"]
        if len(lines) < len(part.splitlines()):
            yield from literal(lines)
        else:
            yield from (".PP", escaped(" ".join(lines)))


def literal(lines: Iterable[str]) -> Iterator[str]:
    yield from (".PP", ".nf", *map(escaped, lines), ".fi")


def definitions(records: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in records:
        yield from (".TP", f"\\fB{escaped(name)}\\fR", escaped(" ".join(text.split())))


def section(each: Section) -> Iterator[str]:
    yield f".SH {each.title.upper()}"
    yield from definitions(each.words)
    if each.text:
        yield from paragraphs(each.text) if each.wrap else literal(each.text.splitlines())


def manual(command: click.Command, name: str, context: click.Context) -> str:
    """The page of one command. `name`: all its words."""
    about = inspect.cleandoc(command.help or "")
    first = " ".join(about.partition("\n\n")[0].split())
    words = name.replace(" ", "-")
    lines = [
        '.\\" written by `make docs` (docs/generate_manual.py)',
        f'.TH "{words.upper()}" 1 "" "buildbot\\-amqp" "Buildbot work, brokered by RabbitMQ"',
        *(".SH NAME", f"{escaped(words)} \\- {escaped(first.rstrip('.'))}"),
        *(".SH SYNOPSIS", f"\\fB{escaped(name)}\\fR {escaped(' '.join(command.collect_usage_pieces(context)))}"),
        *(".SH DESCRIPTION", *paragraphs(about)),
    ]
    records = [each for parameter in command.get_params(context) if (each := parameter.get_help_record(context))]
    if isinstance(command, AgentProgram):
        lines.append(".SH OPTIONS")
        for title, group in command.grouped(context).items():
            lines += [f".SS {title}", *definitions(group)]
    elif records:
        lines += [".SH OPTIONS", *definitions(records)]
    if isinstance(command, click.Group):
        found = ((each, command.get_command(context, each)) for each in command.list_commands(context))
        lines += [".SH COMMANDS", *definitions((each, it.get_short_help_str(200)) for each, it in found if it)]
    if command.epilog:
        lines += [".SH NOTES", *paragraphs(command.epilog)]
    for part in command.sections if isinstance(command, Manual) else ():
        lines += section(part)
    above = name.rpartition(" ")[0].replace(" ", "-")
    lines += [".SH SEE ALSO", *([f"\\fB{escaped(above)}\\fR(1),"] if above else []), escaped(DOCS)]
    return "\n".join(lines) + "\n"


def manuals(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """File name and text, of a command and all below it."""
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent, **command.context_settings)
    yield f"{name.replace(' ', '-')}.1", manual(command, name, context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            assert below is not None
            yield from manuals(below, f"{name} {each}", context)


# -- completion -------------------------------------------------------------------------------------------------------


def completion(program: str, shell: type[ShellComplete]) -> str:
    """click's own script, which asks the program. `BashComplete.source` would look for this machine's bash first."""
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    return ShellComplete.source(shell(PROGRAMS[program], {}, program, variable)).rstrip() + "\n"


def files() -> dict[Path, str]:
    """File -> what it should hold."""
    found = {
        FOLDER / "man/man1" / name: text for program in PROGRAMS for name, text in manuals(PROGRAMS[program], program)
    }
    for shell, where in SHELLS.values():
        found |= {FOLDER / where.format(program): completion(program, shell) for program in PROGRAMS}
    return found


def stale() -> list[str]:
    """Files that are not as they should be, or should not be there."""
    wanted = files()
    there = {path: path.read_text(encoding="utf-8") for path in FOLDER.rglob("*") if path.is_file()}
    return sorted(
        str(path.relative_to(ROOT)) for path in wanted.keys() | there.keys() if wanted.get(path) != there.get(path)
    )


def main() -> None:
    wanted = files()
    for name in stale():
        path = ROOT / name
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
        print(f"{name}: {'written' if path in wanted else 'removed'}")


if __name__ == "__main__":
    main()
