"""The command `worker-agent`: options made from the settings, and a help that reads like a manual page.

What only one subcommand needs is imported there: an agent's memory and start count.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from pydantic.fields import FieldInfo

from contracts.operations.exit_status import ExitStatus
from contracts.operations.manual import CONTEXT, ManualGroup, Section, version_option
from worker_agent.program.loading import CONFIG_VARIABLE, SPELLED, Given, flag_of, variable_of
from worker_agent.program.settings import CONFIG_FILES, Settings
from worker_agent.program.subcommands import subcommands

DESCRIPTION = """\
Takes work from RabbitMQ for Buildbot masters and runs it on this machine.

The agent consumes the queues of all columns whose requirements this machine fulfils, runs one build per slot at a time,
and streams everything back. It needs nothing but the broker's address; the broker need not be up yet."""

EXAMPLES = """\
Find out what this machine can do, and work:
    worker-agent --url amqp://builder7:secret@broker/ --auto-capabilities
Password in a file, two builds at a time:
    worker-agent --url-file /etc/worker-agent.url --auto-capabilities --slots 2
One build, then leave (for machines made on demand):
    worker-agent --url-file url --auto-capabilities --exit-after-build --exit-after-idle 300
What was found here, and how:
    worker-agent capabilities"""

SIGNALS = """\
SIGTERM, SIGINT  drain: finish what runs, take nothing new, leave; a second one: stop at once, give the work back
SIGHUP           probe the capabilities again
SIGUSR2          restart in place, with the program as installed now; commands go on meanwhile"""

STATUS = f"""\
0   left as asked for      {ExitStatus.USAGE:d}   a flag, variable or file is wrong
{ExitStatus.SOFTWARE:d}  a part of it broke     {ExitStatus.CANTCREAT:d}  the state folder cannot be used"""


def _takes(field: FieldInfo) -> Any:
    """The plain type of a setting: Optional and Annotated taken off."""
    kind = field.annotation
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _extra(field: FieldInfo) -> Mapping[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _shown_default(field: FieldInfo) -> str:
    default = field.default
    if default in (None, "", (), False) or str(default) in ("", "."):
        return ""
    if isinstance(default, tuple):
        return f" [default: {', '.join(map(str, default))}]"
    return f" [default: {default:g}]" if isinstance(default, (int, float)) else f" [default: {default}]"


def _spellings(setting: str) -> list[str]:
    """As click takes them; the last is the argument's name."""
    first = "--" + setting.replace("_", "-")
    return list(dict.fromkeys([flag_of(setting), first])) + ([setting] if setting in SPELLED else [])


def option_of(setting: str, field: FieldInfo) -> click.Option:
    """The option of a setting. Values go on as text: the settings check them, whichever way they came."""
    text = (field.description or "") + _shown_default(field)
    if _takes(field) is bool:
        return click.Option([f"{flag_of(setting)}/--no-{setting.replace('_', '-')}"], default=None, help=text)
    if typing.get_origin(_takes(field)) is typing.Literal:
        choices = click.Choice(list(typing.get_args(_takes(field))))
        return click.Option([flag_of(setting)], type=choices, default=None, help=text)
    repeated = typing.get_origin(_takes(field)) is tuple
    return click.Option(
        _spellings(setting), metavar=_extra(field).get("metavar"), multiple=repeated, default=None, help=text
    )


ENVIRONMENT = (
    f"Each option has a variable: that of --url is {variable_of('amqp_url')}. "
    f"Several values are separated by commas. {CONFIG_VARIABLE} names the configuration file. "
    "An option wins over its variable, that over the file."
)
FILES = (
    "\n".join(str(path) for path in CONFIG_FILES)
    + """
    TOML, read unless --config names another; keys are the options' names with underscores:
    amqp_url_file = "/etc/worker-agent.url"
    auto_capabilities = true
    slots = 2
<state>/instance.json
    who this agent is; a copy of the folder would be the same agent twice
<state>/sessions/
    what runs, so that a restart of the agent loses nothing"""
)


SECTIONS = (
    Section(title="Environment", text=ENVIRONMENT, wrap=True),
    Section(title="Files", text=FILES),
    Section(title="Signals", text=SIGNALS),
    Section(title="Exit status", text=STATUS),
    Section(title="Examples", text=EXAMPLES),
)


class AgentProgram(ManualGroup):
    """A group that runs the agent when no subcommand is named. Its options stand in the groups of their settings."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        Section(title="Description", text=DESCRIPTION, wrap=True).write(formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From click: options in `--help`, in groups as the settings have them."""
        for title, records in self.grouped(ctx).items():
            with formatter.section(title):
                formatter.write_dl(records)
        self.format_commands(ctx, formatter)

    def grouped(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Title -> options and what they do."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                field = Settings.model_fields.get(parameter.name or "")
                groups.setdefault(_extra(field)["group"] if field else "General", []).append(record)
        return groups


def _run(context: click.Context) -> None:
    from worker_agent.program.run import work

    context.exit(work(context.obj))


def make_cli(run: Callable[[click.Context], None] = _run) -> click.Group:
    """The whole command line. `run` is called where an agent is to work; the context's `obj` is what is `Given`."""

    def begin(config: Path | None, **flags: Any) -> None:
        context = click.get_current_context()
        context.obj = Given(flags, config, subcommand=context.invoked_subcommand is not None)
        if not context.obj.subcommand:
            run(context)

    config = click.Option(
        ["--config"],
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Read this configuration file.",
    )
    options = [option_of(name, field) for name, field in Settings.model_fields.items()]
    group = AgentProgram(
        "worker-agent",
        params=[config, *options, version_option("worker-agent")],
        callback=begin,
        help=DESCRIPTION,
        invoke_without_command=True,
        context_settings=CONTEXT,
        sections=SECTIONS,
    )
    for command in subcommands(run):
        group.add_command(command)
    return group


def main() -> None:
    """The program `worker-agent`."""
    make_cli()()
