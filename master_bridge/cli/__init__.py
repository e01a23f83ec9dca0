"""The command `master-bridge`, one module a command.

Each is imported when it is called: `--help` needs no Buildbot.

Not here: what a command does (`master_bridge.operating`).
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from contracts.operations.extras import missing_extra
from contracts.operations.manual import CONTEXT, Section, version_option
from master_bridge.cli.manual import OperatorGroup
from master_bridge.cli.output import use_any_encoding
from master_bridge.cli.settings import CONFIG_VARIABLE

#: command -> module of this package; its `command`, or what is named after the colon, is the click command
COMMANDS = {
    "conformance": "conformance",
    "copy": "files:copy",
    "dead": "dead",
    "demand": "demand",
    "doctor": "doctor",
    "drain": "steer:drain",
    "enroll": "enroll:enroll",
    "fleet": "fleet",
    "get": "files:get",
    "keygen": "keys:keygen",
    "ls": "files:ls",
    "migrate": "migrate",
    "move": "move",
    "pipeline": "pipeline",
    "probe": "steer:probe",
    "put": "files:put",
    "queues": "queues",
    "reach": "ssh:reach",
    "rename": "files:rename",
    "restart": "steer:restart",
    "resume": "steer:resume",
    "revoke": "enroll:revoke",
    "rm": "files:rm",
    "run": "run",
    "serve-agent": "ssh:serve_agent",
    "stop": "steer:stop",
    "trial-certificates": "keys:trial_certificates",
    "trial-fleet": "keys:trial_fleet",
    "why": "why",
}


EXAMPLES = """\
What the agents do, as it changes:
    master-bridge --config desk.toml fleet
Those with GTK 3, for a script:
    master-bridge fleet --match 'gtk>=3' --json
Why a build waits, and a machine that is to be upgraded:
    master-bridge why 'linux-gtk #17'
    master-bridge drain builder7 --reason 'new disk' --wait 600"""


class Lazy(OperatorGroup):
    """Finds its commands in `COMMANDS`."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        found = getattr(import_module(f"{__name__}.{module}"), attribute or "command")
        assert isinstance(found, click.Command)
        return found

    def invoke(self, context: click.Context) -> Any:
        """Runs the command. One whose libraries are not installed says which extra has them, with status 1."""
        try:
            return super().invoke(context)
        except ModuleNotFoundError as error:
            text = missing_extra(error, "master")
            if text is None:
                raise
            raise click.ClickException(text) from None


@click.group(cls=Lazy, context_settings=CONTEXT, sections=[Section(title="Examples", text=EXAMPLES)])
@click.option("--config", envvar=CONFIG_VARIABLE, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="Read this configuration file, see Files.")  # fmt: skip
def main(config: Path | None) -> None:  # `options` finds it where it is needed
    """Looks after Buildbot masters and worker agents that work over RabbitMQ."""
    use_any_encoding()


main.params.append(version_option("master-bridge"))
