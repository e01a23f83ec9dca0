"""Every line of a pipeline, one model each. One JSON object a line; unknown fields are refused.

`python -m contracts.pipeline.schema` writes their JSON Schema.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: The version of the lines that this program reads.
VERSION = 1
#: Characters of a step's name: Buildbot's database keeps no more.
NAME_MAX = 50
#: The argument of a battery's command that stands for a shard's units.
UNITS = "{units}"
#: Lines of one program, and properties that it sets.
LINES_MAX = 50_000
PROPERTIES_MAX = 1_000
#: Bytes of a property's value as JSON, of the build or of one that is triggered.
VALUE_MAX = 16 * 1024
#: Bytes of one line, without its line end.
LINE_MAX = 4 * 1024 * 1024
#: Steps of one build that come from lines, those of its nested pipelines among them.
STEPS_MAX = 10_000

Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=NAME_MAX,
        pattern=r"^[^\x00-\x1f\x7f]+$",
    ),
]
Needs = Annotated[
    "tuple[Name, ...] | None",
    Field(
        description="Names of earlier steps: it starts when they have ended well, and is skipped when one has not. "
        "Absent: of `run` without `requires`, `battery`, `upload`, `trigger` and `pipeline` each needs the one of "
        "these before it, others need none. []: none"
    ),
]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Command = Annotated[
    "Annotated[Text, Field(min_length=1)] | Annotated[tuple[Text, ...], Field(min_length=1)]",
    Field(
        description="A list of the program and its arguments, or one text for the machine's shell", union_mode="smart"
    ),
]
Env = Annotated[
    dict[Annotated[str, Field(pattern=r"^[^=\x00]+$")], Text],
    Field(description="Variables of the environment, beside those that the builder sets"),
]
Seconds = Annotated[float, Field(gt=0, le=10_000_000)]


def _is_below(path: str) -> str:
    parts = re.split(r"[/\\]", path)
    if not parts[0] or ".." in parts or ":" in parts[0] or "\0" in path:
        raise ValueError("not below the build's folder")
    return path


Folder = Annotated[str, AfterValidator(_is_below)]


class PipelineLine(BaseModel):
    """Base of all lines."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class VersionLine(PipelineLine):
    """The version of the lines that follow; only the first line may be one."""

    type: Literal["version"]
    version: int = Field(description="1 is the only one so far")


class StepLine(PipelineLine):
    """Base of the lines that become a step."""

    name: Name | None = Field(
        default=None,
        description=f"What the step is called, at most {NAME_MAX} characters, each step otherwise; "
        'absent: made of type and line, as in "run 3"',
    )
    needs: Needs = None


class RunLine(StepLine):
    """A command: in the build's own folder, in the order of the lines; with `requires` on any agent that has it."""

    type: Literal["run"]
    command: Command
    env: Env = {}
    workdir: Folder | None = Field(default=None, description="A folder below the build's own, as in src/lib")
    requires: tuple[Text, ...] | None = Field(
        default=None,
        description='What an agent must offer, as in ["gtk>=3"]; []: any agent. The command then runs in an '
        "empty folder of that agent, beside others. Absent: it runs in the build's own folder",
    )
    timeout: Seconds | None = Field(
        default=1200, description="Seconds without output after which it is ended; null: none"
    )
    max_time: Seconds | None = Field(default=None, description="Seconds after which it is ended")
    logfiles: dict[Annotated[str, Field(min_length=1, max_length=NAME_MAX)], Text] = Field(
        default={}, description="Name of a log -> file that the command writes, below its folder"
    )


def _has_units(command: tuple[str, ...]) -> tuple[str, ...]:
    if UNITS not in command:
        raise ValueError("it runs no unit")
    return command


class BatteryLine(StepLine):
    """Tests, split over all agents that offer what they require; in order, as `run` without `requires`."""

    type: Literal["battery"]
    units: Annotated[tuple[Text, ...], Field(min_length=1)] = Field(description="The tests, as the command names them")
    command: Annotated[tuple[Text, ...], AfterValidator(_has_units)] = Field(
        description='The program and its arguments; the argument "{units}" stands for the units of one shard'
    )
    requires: tuple[Text, ...] = Field(default=(), description="What an agent must offer")
    archive: bool = Field(
        default=True, description="true: each machine gets the build's folder as it is when the step starts"
    )
    env: Env = {}
    report: Text | None = Field(default=None, description="The JUnit report that the command writes")
    retries: int = Field(default=0, ge=0, le=10, description="So often a unit that failed runs again")


def _is_small(value: Any) -> Any:
    if len(json.dumps(value)) > VALUE_MAX:
        raise ValueError("too large")
    return value


#: Of a property.
Value = Annotated[Any, AfterValidator(_is_small)]


class TriggerLine(StepLine):
    """Builds of another scheduler of this master, with properties."""

    type: Literal["trigger"]
    scheduler: Text = Field(description="A Triggerable scheduler that the builder's pipelines may start")
    properties: dict[Annotated[str, Field(min_length=1, max_length=256)], Value] = Field(
        default={},
        max_length=PROPERTIES_MAX,
        description=f"Properties of those builds: name -> any JSON value of at most {VALUE_MAX} bytes",
    )
    wait: bool = Field(default=True, description="true: the step ends when those builds have ended, as they did")


class UploadLine(StepLine):
    """A file of the build's own folder, kept by the master."""

    type: Literal["upload"]
    path: Text = Field(min_length=1, description="The file, below the build's own folder")
    to: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]*$")] = Field(
        description="Its name on the master: one component, no path"
    )


class PropertyLine(PipelineLine):
    """A property of the build, for the steps after this pipeline."""

    type: Literal["property"]
    property: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")] = Field(
        description="Its name: letters, digits, `_`, `.` and `-`. One that the build has already is refused"
    )
    value: Value = Field(description=f"Any JSON value of at most {VALUE_MAX} bytes")


class WaitLine(PipelineLine):
    """All steps after it wait for all steps before it."""

    type: Literal["wait"]
    continue_on_failure: bool = Field(default=False, description="true: they run though a step before has failed")


class ProgramLine(StepLine):
    """Another program whose lines are read, in the build's own folder. The lines after it wait for its end."""

    type: Literal["pipeline"]
    command: Command
    env: Env = {}
    workdir: Folder | None = Field(default=None, description="A folder below the build's own, as in src/lib")
    timeout: Seconds | None = Field(
        default=1200, description="Seconds without output after which it is ended; null: none"
    )


AnyLine = Annotated[
    Union[VersionLine, RunLine, BatteryLine, TriggerLine, UploadLine, PropertyLine, WaitLine, ProgramLine],
    Field(discriminator="type"),
]
AnyStep = Union[RunLine, BatteryLine, TriggerLine, UploadLine, ProgramLine]


def kind_of(line: PipelineLine) -> str:
    """The line's `type`."""
    return str(line.type)  # type: ignore[attr-defined]  # each model but the base has it


#: `type` -> model, in the order of the reference.
MODELS: dict[str, type[PipelineLine]] = {
    "version": VersionLine,
    "run": RunLine,
    "battery": BatteryLine,
    "trigger": TriggerLine,
    "upload": UploadLine,
    "property": PropertyLine,
    "wait": WaitLine,
    "pipeline": ProgramLine,
}
