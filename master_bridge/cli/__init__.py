"""The command `master-bridge`, one module a command.

Each is imported when it is called: `--help` needs no Buildbot.

Not here: what a command does (`master_bridge.operating`).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from contracts.operations.extras import missing_extra

#: command -> module of this package; its `command`, or what is named after the colon, is the click command
COMMANDS = {
    "conformance": "conformance",
    "dead": "dead",
    "doctor": "doctor",
    "drain": "steer:drain",
    "enroll": "enroll:enroll",
    "fleet": "fleet",
    "keygen": "keys:keygen",
    "migrate": "migrate",
    "probe": "steer:probe",
    "queues": "queues",
    "restart": "steer:restart",
    "resume": "steer:resume",
    "revoke": "enroll:revoke",
    "stop": "steer:stop",
    "trial-certificates": "keys:trial_certificates",
    "trial-fleet": "keys:trial_fleet",
    "why": "why",
}


class Lazy(click.Group):
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


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Looks after Buildbot masters and worker agents that work over RabbitMQ."""
