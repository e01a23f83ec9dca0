"""Buildbot's remote commands as JSON: arguments without Python's own types, readers and writers apart."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from buildbot.worker.protocols.base import FileReaderImpl, FileWriterImpl

from contracts.digest import command_digest
from contracts.messages import Command
from contracts.readable import is_deeper, is_readable, readable
from contracts.timing import ARGUMENT_DEPTH_MAX, COMMAND_MAX
from master_bridge.core.inputs import PreparedCommand


class BadArguments(Exception):
    """A command's argument cannot be sent to an agent; the message names command and argument."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """`values` go to the agent; `reader` and `writer` stay with the master."""

    values: Mapping[str, Any]
    reader: Any = None
    writer: Any = None


def split_arguments(command: str, args: Mapping[str, Any]) -> Arguments:
    """Raises `BadArguments` for a value that is not JSON, or too deep, and for text that is not UTF-8."""
    values: dict[str, Any] = {}
    reader = writer = None
    for name, value in args.items():
        if isinstance(value, FileReaderImpl):
            reader = value
        elif isinstance(value, FileWriterImpl):
            writer = value
        else:
            where = f"argument {name!r} of command {command!r}"
            if is_deeper(value, ARGUMENT_DEPTH_MAX):
                raise BadArguments(f"{where} has more than {ARGUMENT_DEPTH_MAX} lists and dictionaries in one another")
            values[str(name)] = _json(value, where)
    return Arguments(values=values, reader=reader, writer=writer)


def prepare(command: str, arguments: Arguments, content: str = "", *, step: str = "") -> PreparedCommand:
    """`content`: hex SHA-256 of what a download delivers. `step`: the name of the step that runs it.

    Raises `BadArguments` for what no message can carry.
    """
    _check_size(command, arguments.values)
    digest = command_digest(command, arguments.values, content)
    return PreparedCommand(name=command, args=arguments.values, digest=digest, step=readable(step))


def _check_size(command: str, values: Mapping[str, Any]) -> None:
    """An agent does not read a larger message: its command would never be heard of again."""
    sizes = {name: _size(command, {name: value}) for name, value in values.items()}
    if sum(sizes.values()) <= COMMAND_MAX:
        return
    largest = max(sizes, key=lambda name: sizes[name])
    raise BadArguments(
        f"command {command!r} with its arguments is {sum(sizes.values())} bytes long, more than the {COMMAND_MAX} "
        f"that a message to an agent carries; argument {largest!r} alone is {sizes[largest]} bytes. Pass what is "
        "large in a file (FileDownload, StringDownload)"
    )


def _size(command: str, args: Mapping[str, Any]) -> int:
    try:
        return len(Command(n=1, name=command, args=dict(args), digest="0" * 64).model_dump_json().encode())
    except ValueError as error:  # also pydantic's: what is no Unicode text has no form in JSON
        raise BadArguments(f"arguments {sorted(args)} of command {command!r} cannot be sent: {error}") from None


def _json(value: Any, where: str) -> Any:
    """`value` with tuples as lists and bytes as the UTF-8 text that Buildbot's worker makes of them.

    A secret argument, ("obfuscated", real, shown), becomes a list of three that agents know.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        if not is_readable(value):
            raise BadArguments(f"{where} is not UTF-8: {value[:200]!r}")
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadArguments(f"{where} is not UTF-8: {error}") from None
    if isinstance(value, os.PathLike):
        return _json(os.fspath(value), where)
    if isinstance(value, Mapping):
        return {str(_json(key, where)): _json(item, where) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item, where) for item in value]
    raise BadArguments(f"{where} is a {type(value).__name__}, which cannot be sent to an agent")
