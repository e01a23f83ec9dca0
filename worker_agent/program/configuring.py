"""The configuration that install-worker.sh puts in place: a new file's, with what only the one before says.

    python -I -m worker_agent.program.configuring --new NAME --kept FILE <NEW >COMPOSED

A machine's owner may have set what `master-bridge enroll` knows nothing of (slots, probes, metrics): a new account or
key takes none of it away. What says where the broker is and whom to believe is the new file's alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from contracts.operations.exit_status import ExitStatus
from worker_agent.program.loading import BadSettings, as_table, unknown_setting
from worker_agent.program.settings import Settings

#: The broker, this account, and whom it believes: never of two files together.
ACCOUNT = ("amqp_url", "amqp_url_file", "tls_ca", "tls_cert", "tls_key", "trusted_key")


@dataclass(frozen=True, kw_only=True)
class Names:
    """How the two files are called in errors."""

    new: str
    kept: str


def composed(new: str, kept: str, *, given: Sequence[str] = (), defaults: Sequence[str] = (), names: Names) -> str:
    """`new` with lines before it: those `given`, what `kept` says besides, `defaults` for what nobody says.

    `given` and `defaults` are lines of TOML. Raises `BadSettings`.
    """
    table = _known(new, names.new)
    lines: dict[str, str] = {}
    for line in given:
        [(setting, _)] = as_table(line, names.new).items()
        if setting in table:
            raise BadSettings(f"{names.new} says {setting} itself: leave --{setting} out")
        lines[setting] = line
    for setting, value in _known(kept, names.kept).items():
        if setting not in (*ACCOUNT, *table, *lines):
            lines[setting] = f"{setting} = {_toml(value)}"
    for line in defaults:
        [(setting, _)] = as_table(line, names.new).items()
        if setting not in table:
            lines.setdefault(setting, line)
    return "".join(f"{line}\n" for line in lines.values()) + new


def _toml(value: object) -> str:
    """JSON's texts, numbers and lists of them are TOML's, but for pairs of surrogates and for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _known(text: str, name: str) -> Mapping[str, Any]:
    table = as_table(text, name)
    for setting in table:
        if setting not in Settings.model_fields:
            raise BadSettings(unknown_setting(setting, name))
    return table


@click.command()
@click.option("--new", required=True, help="How standard input is called in errors.")
@click.option("--kept", type=click.Path(path_type=Path), required=True, help="The file in use; it may be missing.")
@click.option("--given", multiple=True, help="A line of TOML that was asked for.")
@click.option("--default", "defaults", multiple=True, help="A line of TOML for what neither file says.")
def main(new: str, kept: Path, given: tuple[str, ...], defaults: tuple[str, ...]) -> None:
    """Print the configuration that standard input and FILE make together."""
    try:
        before = kept.read_text(encoding="utf-8") if kept.exists() else ""
        text = sys.stdin.buffer.read().decode("utf-8")
        click.echo(
            composed(text, before, given=given, defaults=defaults, names=Names(new=new, kept=str(kept))), nl=False
        )
    except (OSError, UnicodeDecodeError) as error:
        click.echo(f"{new} or {kept} is no text in UTF-8 that can be read: {type(error).__name__}", err=True)
        sys.exit(ExitStatus.USAGE)
    except BadSettings as error:
        click.echo(str(error), err=True)
        sys.exit(ExitStatus.USAGE)


if __name__ == "__main__":
    main()
