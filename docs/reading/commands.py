"""Commands of both programs: what click knows of them, and their help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import click

from contracts.operations.manual import CONTEXT
from docs.reading.parameter import UNITS, Parameter
from master_bridge.cli import main as master_bridge
from master_bridge.cli import settings as operators

#: What counts where an option has no default, in its help.
_SAID = re.compile(r" Default: (.+?)\.$")
#: Options of every command that speaks to the broker (`master_bridge.cli.options`).
SHARED = tuple(operators.OperatorSettings.model_fields)


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command with its own arguments and options; `shared`: it takes those of `SHARED`, too."""

    name: str
    usage: str
    text: str
    parameters: list[Parameter]
    shared: bool


def commands(group: click.Group, name: str) -> Iterator[Command]:
    """All commands of a program, those of its subgroups in their place."""
    context = click.Context(group, info_name=name, **CONTEXT)
    for each in sorted(group.list_commands(context)):
        command = group.get_command(context, each)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {each}")
        else:
            yield _of_command(command, f"{name} {each}")


def _of_command(command: click.Command, name: str) -> Command:
    context = click.Context(command, info_name=name, **CONTEXT)  # click keeps the help option that it makes first
    shared = {parameter.name for parameter in command.params}.issuperset(SHARED)
    text = inspect.cleandoc(command.help or "")
    own = [each for each in command.params if not (shared and each.name in SHARED)]
    parameters = [_of_click(each, text) for each in own if not getattr(each, "hidden", False)]
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    return Command(name=name, usage=usage, text=text, parameters=parameters, shared=shared)


def shared_options() -> list[Parameter]:
    """Those of every command that speaks to the broker, with their keys in the configuration file."""
    command = master_bridge.get_command(click.Context(master_bridge), "fleet")
    assert command is not None
    found = {parameter.name: _of_click(parameter, "") for parameter in command.params}
    return [replace(found[name], names=(*found[name].names, name)) for name in SHARED]


def _of_click(parameter: click.Parameter, text: str) -> Parameter:
    known = parameter.to_info_dict()
    kind = known["type"]["param_type"]
    if isinstance(parameter, click.Argument):
        sentences = re.split(r"(?<=[.])\s+", " ".join(text.split()))
        shown = parameter.make_metavar(click.Context(click.Command(""))).strip("[].")
        said = [sentence for sentence in sentences if re.search(rf"\b{shown}\b", sentence)]
        needed = "must be given" if parameter.required else "none"
        several = ", several" if parameter.nargs == -1 else ""
        return Parameter(names=(shown,), type=f"text{several}", default=needed, text=" ".join(said))
    assert isinstance(parameter, click.Option)
    flags = [*parameter.opts, *parameter.secondary_opts]
    names = (" / ".join(flags), *((str(parameter.envvar),) if parameter.envvar else ()))
    return Parameter(
        names=names, type=_kind_of_option(parameter, kind), default=_default_of_option(parameter, known["default"]),
        unit=UNITS.get(parameter.metavar or "", ""), text=_SAID.sub("", parameter.help or ""),
    )  # fmt: skip


def _kind_of_option(option: click.Option, kind: str) -> str:
    if option.is_flag:
        return "yes or no" if option.secondary_opts else "flag"
    if isinstance(option.type, click.Choice):
        found = "one of " + ", ".join(f"`{value}`" for value in option.type.choices)
    else:
        named = {"Float": "number", "FloatRange": "number", "Int": "whole number", "Path": "file"}
        found = named.get(kind, "text")
    if found == "file" and option.metavar == "FOLDER":
        found = "folder"
    return f"{found}, several" if option.multiple else found


def _default_of_option(option: click.Option, default: Any) -> str:
    said = _SAID.search(option.help or "")
    if option.is_flag and not option.secondary_opts:
        return "no"
    if isinstance(default, (list, tuple)) and default:
        return ", ".join(f"`{each}`" for each in default)
    if default in (None, (), [], "") or "UNSET" in str(default):
        return said[1] if said else "none"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
