"""Writes docs/reference/ anew: every setting of `master.cfg`, of `worker-agent` and of `master-bridge`: `make docs`.

The sentences stand where the settings do: in the section `Args:` of docstrings, in the descriptions of the agent's
settings, and in the help of commands. With `--check` nothing is written; exit code 1: a page is stale.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from annotated_types import Ge, Gt, Le
from buildbot.plugins import steps, util, worker
from pydantic import ByteSize, SecretStr

from contracts.operations.manual import CONTEXT
from contracts.pipeline.lines import MODELS, PipelineLine
from contracts.schema import DIALECT
from master_bridge.buildbot.worker_settings import SENSELESS
from master_bridge.cli import main as master_bridge
from master_bridge.cli import settings as operators
from master_bridge.operating.report import FleetReport
from worker_agent.program.cli import make_cli
from worker_agent.program.loading import CONFIG_VARIABLE, flag_of, variable_of
from worker_agent.program.settings import CONFIG_FILES, Settings

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"

#: metavar of a number -> its unit
UNITS = {"SECONDS": "seconds", "SIZE": "bytes, or as `1GiB`", "BYTES": "bytes", "PORT": "port", "N": "sessions"}
#: Types that are numbers and need a unit.
NUMBERS = ("number", "whole number", "size")
#: One parameter of a docstring's section `Args:`: name (type) or (type, unit), and its text.
_ENTRY = re.compile(r"^ {4}(\w+) \((.+?)\): (.*(?:\n {5,}.*)*)", re.MULTILINE)
#: What counts where the signature has None.
_DEFAULT = re.compile(r"\s*Default: (.+?)\.(?=\s|$)")
#: The same in the help of an option.
_SAID = re.compile(r" Default: (.+?)\.$")
#: Options of every command that speaks to the broker (`master_bridge.cli.options`).
SHARED = tuple(operators.OperatorSettings.model_fields)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One row. `names`: all ways to give it, the first one is what people call it."""

    names: tuple[str, ...]
    type: str
    unit: str = ""
    default: str
    text: str

    def lacks(self) -> list[str]:
        """What a reader would miss."""
        needs_unit = self.type.split(",")[0] in NUMBERS and not self.unit
        found = {"type": not self.type, "unit": needs_unit, "default": not self.default}
        found["sentence"] = len(self.text) < 10 or not self.text.endswith((".", "`"))
        return [name for name, missing in found.items() if missing]

    def row(self) -> str:
        names = "<br>".join(f"`{name}`" for name in self.names)
        kind = f"{self.type}; {self.unit}" if self.unit else self.type
        return "| " + " | ".join(_cell(text) for text in (names, kind, self.default, self.text)) + " |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def table(parameters: Iterable[Parameter]) -> str:
    rows = [parameter.row() for parameter in parameters]
    return "\n".join(["| name | type; unit | default | what it does |", "|---|---|---|---|", *rows]) if rows else ""


# -- master.cfg: docstrings -------------------------------------------------------------------------------------------


def of_docstring(documented: Any, signature: Callable[..., Any], beside: Iterable[str] = ()) -> list[Parameter]:
    """What `Args:` of a docstring says of the parameters of `signature` and of those named in `beside`, which go on.

    Raises LookupError when one is missing there, or is there and does not exist.
    """
    _, _, body = inspect.cleandoc(documented.__doc__ or "").partition("Args:\n")
    entries = {name: (kind, " ".join(text.split())) for name, kind, text in _ENTRY.findall(body)}
    named = {
        name: each.default
        for name, each in inspect.signature(signature).parameters.items()
        if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL) and name != "self"
    }
    named |= dict.fromkeys(beside)
    if set(entries) != set(named):
        raise LookupError(f"{documented.__name__}: Args: and parameters differ in {sorted(set(entries) ^ set(named))}")
    return [_of_entry(name, *entries[name], default) for name, default in named.items()]


def _of_entry(name: str, kind: str, text: str, default: Any) -> Parameter:
    kind, _, unit = kind.partition("; ")
    said = _DEFAULT.search(text)
    if said is not None:
        text, shown = text[: said.start()] + text[said.end() :], said[1]
    elif default is inspect.Parameter.empty:
        shown = "none: must be given"
    elif default in (None, ()):
        shown = "none"
    else:
        shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
    return Parameter(names=(name,), type=kind, unit=unit, default=shown, text=text.strip())


def introduction(documented: Any) -> str:
    """The docstring before its `Args:`."""
    return inspect.cleandoc(documented.__doc__ or "").partition("Args:\n")[0].strip()


def master_cfg() -> dict[str, tuple[str, list[Parameter]]]:
    """Heading -> introduction, parameters."""
    broker, slot, command = util.Broker, worker.AMQPLatentWorker, steps.CapabilityCommand
    rule, battery, pipeline = util.FleetEndpointMatcher, steps.Battery, steps.Pipeline
    return {
        "util.Broker": (introduction(broker), of_docstring(broker, broker.reconfigService)),
        "util.AMQPBroker": ("The first name of `util.Broker`, with the same parameters.", []),
        "worker.amqp_column": (introduction(worker.amqp_column), of_docstring(worker.amqp_column, worker.amqp_column)),
        "worker.AMQPLatentWorker": (introduction(slot), of_docstring(slot, slot.checkConfig, PASSED_ON)),
        "steps.CapabilityCommand": (introduction(command), of_docstring(command, command.__init__)),
        "steps.Battery": (introduction(battery), of_docstring(battery, battery.__init__)),
        "util.Units": (introduction(util.Units), of_docstring(util.Units, util.Units.__init__)),
        "steps.Pipeline": (introduction(pipeline), of_docstring(pipeline, pipeline.__init__)),
        "util.FleetEndpointMatcher": (introduction(rule), of_docstring(rule, rule.__init__)),
    }


#: Arguments of Buildbot's own workers that slots take, too (`worker_settings.KNOWN`).
PASSED_ON = ("notify_on_missing", "properties", "defaultProperties", "locks")


# -- worker-agent: settings -------------------------------------------------------------------------------------------


def agent_settings() -> dict[str, list[Parameter]]:
    """Group -> its settings. A setting's names: flag, variable, key in the file."""
    groups: dict[str, list[Parameter]] = {}
    for name, field in Settings.model_fields.items():
        extra = typing.cast("dict[str, str]", field.json_schema_extra)
        groups.setdefault(extra["group"], []).append(_of_field(name, field, extra))
    return groups


def _of_field(name: str, field: Any, extra: dict[str, str]) -> Parameter:
    kind = _kind_of_field(field.annotation, extra.get("metavar"))
    bounds = _bounds(field.metadata)
    text = field.description
    said = _DEFAULT.search(text)
    if said is not None:
        text, shown = text[: said.start()] + text[said.end() :], said[1]
    elif field.default in (None, (), ""):
        shown = "none"
    elif isinstance(field.default, bool):
        shown = "yes" if field.default else "no"
    elif isinstance(field.default, tuple):
        shown = ", ".join(f"`{each}`" for each in field.default)
    else:
        shown = f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"
    flag = f"{flag_of(name)} / --no-{name.replace('_', '-')}" if kind == "yes or no" else flag_of(name)
    unit = UNITS.get(extra.get("metavar") or "", "")
    return Parameter(
        names=(flag, variable_of(name), name), type=f"{kind}, {bounds}" if bounds else kind, unit=unit, default=shown,
        text=text.strip(),
    )  # fmt: skip


def _kind_of_field(annotation: Any, metavar: str | None) -> str:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is typing.Literal:
        return "one of " + ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    if typing.get_origin(annotation) is tuple:
        return f"{_kind_of_field(typing.get_args(annotation)[0], metavar)}, several"
    plain = {bool: "yes or no", int: "whole number", float: "number", ByteSize: "size", SecretStr: "text", str: "text"}
    return plain.get(annotation) or ("folder" if metavar == "FOLDER" else "file")


def _bounds(metadata: Iterable[Any]) -> str:
    """In words: "1 to 600", "more than 0"."""
    least = [f"{each.ge:g}" for each in metadata if isinstance(each, Ge)]
    above = [f"more than {each.gt:g}" for each in metadata if isinstance(each, Gt)]
    most = [f"{each.le:g}" for each in metadata if isinstance(each, Le)]
    if least and most:
        return f"{least[0]} to {most[0]}"
    return ", ".join([*(f"{each} or more" for each in least), *above, *(f"at most {each}" for each in most)])


# -- commands: click --------------------------------------------------------------------------------------------------


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


# -- pages ------------------------------------------------------------------------------------------------------------

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


#: Variables that are no setting of ours: who reads them, and what for. A test compares them with the sources.
OTHERS = {
    "BUILDBOT_AMQP_COMMAND": ("worker-agent", "Given to each command: its session and number, by which the agent finds "
                              "what belongs to it; `leave` in a command's own environment: do not end it "
                              "([differences](../differences-to-pb.md))."),
    "BUILDBOT_PIPELINE": ("pipelines", "Given to the program of a pipeline: the file to which it appends its lines."),
    "COLUMNS": ("master-bridge", "Columns of the terminal, where it does not say by itself."),
    "CREDENTIALS_DIRECTORY": ("worker-agent", "systemd's credentials: a file `amqp-url` in it is the broker's URL."),
    "HOME": ("both", "`~` in file names, and folders that XDG's variables do not name."),
    "NOTIFY_SOCKET": ("worker-agent", "systemd's `Type=notify`."),
    "SYSTEMD_EXEC_PID": (
        "worker-agent",
        "systemd's: which process is a service's, so that it starts again if it is killed.",
    ),
    "NO_COLOR": ("master-bridge", "Set to anything: no colours."),
    "OTEL_*": ("worker-agent, Buildbot's master", "With traces: where they go, as OpenTelemetry's SDK has it "
               "(`OTEL_EXPORTER_OTLP_ENDPOINT`)."),
    "PATH": ("worker-agent", "Where probes and commands look for programs."),
    "PKG_CONFIG_LIBDIR": ("worker-agent", "Where `--auto-capabilities` looks for libraries, as pkg-config does."),
    "PKG_CONFIG_PATH": ("worker-agent", "Where `--auto-capabilities` looks for libraries, too, as pkg-config does."),
    "SSH_CONNECTION": ("master-bridge", "sshd's: where an agent comes from, for `serve-agent`."),
    "STATE_DIRECTORY": ("worker-agent", "systemd's `StateDirectory=`: the default of `--state`."),
    "TERM": ("master-bridge", "`dumb`, `unknown` or not set: no live view."),
    "WATCHDOG_PID": ("worker-agent", "systemd's `WatchdogSec=`."),
    "WATCHDOG_USEC": ("worker-agent", "systemd's `WatchdogSec=`."),
    "XDG_CONFIG_HOME": ("master-bridge", "Folder of the configuration file's folder."),
    "XDG_STATE_HOME": ("worker-agent", "Folder of the default of `--state`."),
}  # fmt: skip


def variables() -> dict[str, tuple[str, str]]:
    """All environment variables: who reads it, and what for."""
    agent = {variable_of(name): ("worker-agent", f"As `{flag_of(name)}`.") for name in Settings.model_fields}
    operator = {operators.variable_of(name): ("master-bridge", f"As `{operators.option_of(name)}`.") for name in SHARED}
    operator[operators.variable_of("amqp_url")] = (
        "master-bridge, Buildbot's master",
        "As `--amqp-url`; in a master that of an `AMQPBroker` without `url`.",
    )
    files = {
        CONFIG_VARIABLE: ("worker-agent", "The configuration file, as `--config`."),
        operators.CONFIG_VARIABLE: ("master-bridge", "The configuration file, as `--config`."),
    }
    return agent | operator | files | OTHERS


def _environment_page() -> str:
    rows = [f"| `{name}` | {who} | {_cell(text)} |" for name, (who, text) in sorted(variables().items())]
    return "\n".join([
        "# Environment variables\n", _NOTE,
        "One rule for both programs: the program's name, then the option's, in capitals with underscores: "
        "`--tls-ca` of `master-bridge` is `MASTER_BRIDGE_TLS_CA`, that of `worker-agent` is `WORKER_AGENT_TLS_CA`. A "
        "variable that begins so and is none of these sets nothing, which both programs warn of. The others are "
        "systemd's, XDG's, or the terminal's.\n",
        "| variable | read by | what for |", "|---|---|---|", *rows, "",
    ])  # fmt: skip


def line_types() -> dict[str, tuple[str, list[Parameter]]]:
    """Type of a pipeline's line -> introduction, its fields."""
    return {name: (introduction(model), list(_of_line(model))) for name, model in MODELS.items()}


def _of_line(model: type[PipelineLine]) -> Iterator[Parameter]:
    fields = {name: field for name, field in model.model_fields.items() if name != "type"}
    shapes = model.model_json_schema()["properties"]
    for name, field in sorted(
        fields.items(), key=lambda each: (not each[1].is_required(), each[0] in ("name", "needs"))
    ):
        described = (field.description, *(getattr(each, "description", None) for each in field.metadata))
        text = next((each for each in described if each), "")
        default = "must be given" if field.is_required() else f"`{json.dumps(field.default)}`"
        yield Parameter(names=(name,), type=_shape(shapes[name]), default=default, text=text.rstrip(".") + ".")


def _shape(shape: dict[str, Any]) -> str:
    """A JSON Schema's type in one or two words."""
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(_shape(each) for each in shape["anyOf"]))
    if shape.get("type") == "array":
        return "list of texts"
    names = {"string": "text", "object": "object", "boolean": "true or false", "null": "null"}
    return names.get(shape.get("type", ""), "JSON" if "type" not in shape else "a number")


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
