"""Writes docs/reference/ anew: every setting of `master.cfg`, of `worker-agent` and of `master-bridge`: `make docs`.

The sentences stand where the settings do: in the section `Args:` of docstrings, in the descriptions of the agent's
settings, and in the help of commands (`docs/reading`). With `--check` nothing is written; exit code 1: a page is stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from contracts.schema import DIALECT
from docs.reading.agent_settings import agent_settings
from docs.reading.commands import Command, commands, shared_options
from docs.reading.docstrings import master_cfg
from docs.reading.parameter import cell, table
from docs.reading.pipeline_lines import line_types
from docs.reading.variables import variables
from master_bridge.buildbot.worker_settings import SENSELESS
from master_bridge.cli import main as master_bridge
from master_bridge.cli import settings as operators
from master_bridge.operating.report import FleetReport
from worker_agent.program.cli import make_cli
from worker_agent.program.loading import CONFIG_VARIABLE
from worker_agent.program.settings import CONFIG_FILES

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"

_NOTE = "<!-- written by `make docs` (docs/generate_reference.py); change the sentences in the sources -->\n"


def _master_cfg_page() -> str:
    parts = [
        "# Settings in master.cfg\n", _NOTE,
        "All of them come from Buildbot's plugins: `from buildbot.plugins import steps, util, worker`. Everything but "
        "a name is given by its name, as in `requires=[\"gtk>=3\"]`. `buildbot checkconfig` tells each mistake by the "
        "argument's name.\n",
    ]  # fmt: skip
    for heading, (text, parameters) in master_cfg().items():
        parts += [f"## {heading}\n", text + "\n", table(parameters) + "\n"]
    parts += ["## Arguments of Buildbot's workers that are refused\n"]
    parts += ["\n".join(f"- `{name}`: {why}." for name, why in SENSELESS.items()) + "\n"]
    return "\n".join(parts)


def _agent_page() -> str:
    files = ", then ".join(f"`{path}`" for path in CONFIG_FILES)
    parts = [
        "# Settings of worker-agent\n", _NOTE,
        "Each setting has a flag, an environment variable and a key in a TOML file, which stand in this order in its "
        "row. A flag wins over its variable, that over the file, that over the default. Several values in one variable "
        f"are separated by commas or spaces. `--config FILE` or `{CONFIG_VARIABLE}` names the file; else the first one "
        f"there is of {files}.\n",
    ]  # fmt: skip
    for group, parameters in agent_settings().items():
        parts += [f"## {group}\n", table(parameters) + "\n"]
    parts += ["## Commands\n", "The flags above stand before the command. Without a command the agent works.\n"]
    for command in commands(make_cli(), "worker-agent"):
        parts += _command_section(command, "###")
    return "\n".join(parts)


def _commands_page() -> str:
    parts = [
        "# Commands of master-bridge\n", _NOTE,
        "Where is said that a command speaks to the broker, it takes the options below, too. Each is a setting, with "
        "an environment variable and a key in a TOML file, which stand in this order in its row. An option wins over "
        f"its variable, that over the file. `--config FILE` or `{operators.CONFIG_VARIABLE}`, before the command, "
        "names the file; else it is `$XDG_CONFIG_HOME/buildbot-amqp/master-bridge.toml` (`~/.config/…`), where there "
        "is one. Files in it are named as seen from its folder. Files with secrets in them must be their owner's alone "
        "(`chmod 600`), as psql has it: root's may be for a group, too.\n",
        table(shared_options()) + "\n",
    ]  # fmt: skip
    for command in commands(master_bridge, "master-bridge"):
        parts += _command_section(command, "##")
    return "\n".join(parts)


def _command_section(command: Command, level: str) -> list[str]:
    usage = f"    {command.usage}\n"
    speaks = ["It speaks to the broker.\n"] if command.shared else []
    own = table(command.parameters)
    return [f"{level} {command.name}\n", usage, command.text + "\n", *speaks, *([own + "\n"] if own else [])]


def _environment_page() -> str:
    rows = [f"| `{name}` | {who} | {cell(text)} |" for name, (who, text) in sorted(variables().items())]
    return "\n".join([
        "# Environment variables\n", _NOTE,
        "One rule for both programs: the program's name, then the option's, in capitals with underscores: "
        "`--tls-ca` of `master-bridge` is `MASTER_BRIDGE_TLS_CA`, that of `worker-agent` is `WORKER_AGENT_TLS_CA`. A "
        "variable that begins so and is none of these sets nothing, which both programs warn of. The others are "
        "systemd's, XDG's, or the terminal's.\n",
        "| variable | read by | what for |", "|---|---|---|", *rows, "",
    ])  # fmt: skip


def _pipeline_page() -> str:
    parts = [
        "# Lines of a pipeline",
        _NOTE.rstrip(),
        "One JSON object a line, with a field `type`. Fields that are not here are refused. The JSON Schema of a line "
        "is [pipeline.schema.json](../../contracts/pipeline/pipeline.schema.json); `master-bridge pipeline schema` "
        "prints it. How they are used: [pipelines](../how-to/pipelines.md).",
    ]
    for name, (text, fields) in line_types().items():
        parts += [f"## {name}", text, table(fields)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _fleet_schema() -> str:
    """JSON Schema of what `master-bridge fleet --json` writes."""
    schema = FleetReport.model_json_schema(mode="serialization")
    return json.dumps({"$schema": DIALECT, "title": "master-bridge fleet --json", **schema}, indent=2) + "\n"


def pages() -> dict[Path, str]:
    """File -> what it should hold."""
    return {
        FOLDER / "master-cfg.md": _master_cfg_page(),
        FOLDER / "worker-agent.md": _agent_page(),
        FOLDER / "master-bridge.md": _commands_page(),
        FOLDER / "pipeline.md": _pipeline_page(),
        FOLDER / "environment.md": _environment_page(),
        FOLDER / "master-bridge-fleet.schema.json": _fleet_schema(),
    }


def stale() -> dict[Path, str]:
    """Pages that are not as they should be, and what they should be."""
    return {
        path: text
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }  # fmt: skip


def main(arguments: list[str]) -> int:
    found = stale()
    for path, text in found.items():
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {'stale' if '--check' in arguments else 'written'}")
    return 1 if found and "--check" in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
