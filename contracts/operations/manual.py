"""Help that reads like a manual page: click's, with further sections at its end. Both programs' commands are of these
classes, and their manual pages are made from the same sections (`docs/generate_manual.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import click

#: Of both programs: `-h` is help, and a wide terminal is used.
CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@dataclass(frozen=True, kw_only=True)
class Section:
    """Words with what they mean, then a text. `wrap`: it is prose, which may be broken anywhere."""

    title: str
    words: tuple[tuple[str, str], ...] = ()
    text: str = ""
    wrap: bool = False

    def write(self, formatter: click.HelpFormatter) -> None:
        """As click writes its own sections."""
        with formatter.section(self.title):
            if self.words:
                formatter.write_dl(self.words)
            if self.words and self.text:
                formatter.write_paragraph()
            if self.wrap:
                formatter.write_text(self.text)
                return
            for line in self.text.splitlines():
                formatter.write(f"{'':{formatter.current_indent if line else 0}}{line}\n")


class Manual:
    """Mixed into a click command: `sections` stand at the end of its help."""

    def __init__(self, *args: Any, sections: Iterable[Section] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._own_sections = tuple(sections)

    @property
    def sections(self) -> tuple[Section, ...]:
        """Those of this command, below what click writes."""
        return self._own_sections

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From click: what stands at the end of `--help`."""
        super().format_epilog(ctx, formatter)  # type: ignore[misc]  # click.Command's, which is mixed in
        for section in self.sections:
            section.write(formatter)


class ManualCommand(Manual, click.Command):
    """A command with sections."""


class ManualGroup(Manual, click.Group):
    """A group of commands with sections."""


def version_option(program: str) -> click.Option:
    """`--version`: the program's name and the version of the installed package."""

    def show(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
        if asked and not context.resilient_parsing:
            from contracts.operations.program_version import version

            click.echo(f"{program} {version()}")
            context.exit()

    return click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, help="Show the version.", callback=show
    )
