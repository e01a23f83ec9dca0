"""docs/reference is as the sources are, and leaves no reader without a type, a unit, a default or a sentence."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.metadata import distribution

import pytest

from docs.generate_reference import stale
from docs.reading.agent_settings import agent_settings
from docs.reading.commands import Command, commands, shared_options
from docs.reading.docstrings import PASSED_ON, master_cfg, of_docstring
from docs.reading.parameter import Parameter
from docs.reading.variables import variables
from master_bridge.buildbot.worker_settings import KNOWN, SENSELESS
from master_bridge.cli import main as master_bridge
from master_bridge.cli import settings as operators
from tests.harness.tree import ROOT
from worker_agent.program import loading
from worker_agent.program.cli import make_cli
from worker_agent.program.settings import Settings

COMMANDS = [*commands(master_bridge, "master-bridge"), *commands(make_cli(), "worker-agent")]


def test_the_pages_are_as_the_sources_are() -> None:
    """A change of a setting without `make docs` is caught here."""
    assert [path.name for path in stale()] == []


@pytest.mark.parametrize(("of", "parameters"), [
    *((heading, found) for heading, (_, found) in master_cfg().items()),
    *agent_settings().items(),
    *((command.name, command.parameters) for command in COMMANDS),
    ("all commands", shared_options()),
])  # fmt: skip
def test_each_parameter_has_a_type_a_unit_a_default_and_a_sentence(of: str, parameters: list[Parameter]) -> None:
    """Where one is missing, it is written in the source: docstring, description of the setting, help of the option."""
    assert {each.names[0]: each.lacks() for each in parameters if each.lacks()} == {}, of


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_says_what_it_does(command: Command) -> None:
    """The first sentence of its help."""
    assert command.text.partition("\n")[0].endswith("."), command.name


def test_each_setting_of_the_agent_is_in_its_page() -> None:
    """By flag, variable and key."""
    found = {each.names[-1] for group in agent_settings().values() for each in group}
    assert found == set(Settings.model_fields)


def read_by_name(tree: ast.AST) -> Iterator[str]:
    """Variables of the environment that a module reads: `environ["X"]`, `environ.get("X")`, `environ.pop("X")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            of, key = node.value, node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if node.func.attr not in ("get", "pop", "setdefault"):
                continue
            of, key = node.func.value, node.args[0]
        else:
            continue
        name = of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""
        if name in ("environ", "environment", "environb") and isinstance(key, ast.Constant):
            yield str(key.value)


def test_each_variable_that_a_program_reads_is_listed() -> None:
    """Settings by their rule; what a module reads by its name, too."""
    read = {
        name
        for folder in ("conformance", "contracts/operations", "master_bridge", "worker_agent")
        for path in (ROOT / folder).rglob("*.py")
        for name in read_by_name(ast.parse(path.read_text("utf-8")))
    }
    assert "STATE_DIRECTORY" in read
    known = variables()
    assert read - set(known) == {"PATH_INFO"}  # of a request to /metrics, which WSGI calls its environment
    assert {loading.variable_of(name) for name in Settings.model_fields} <= set(known)
    assert {operators.variable_of(name) for name in operators.OperatorSettings.model_fields} <= set(known)
    assert {operators.CONFIG_VARIABLE, loading.CONFIG_VARIABLE} <= set(known)


def test_the_arguments_that_go_on_to_buildbot_are_those_that_the_settings_know() -> None:
    """A further one must be documented, too."""
    assert set(PASSED_ON) == set(KNOWN)
    assert not set(SENSELESS) & set(KNOWN)


def test_a_parameter_without_an_entry_is_an_error() -> None:
    """So is an entry without a parameter: a removed setting goes from the docstring."""

    def documented(here: int, missing: int) -> None:
        """It counts.

        Args:
            here (whole number; seconds): How long it takes.
            gone (text): Which is not there any more.
        """

    with pytest.raises(LookupError, match="'gone', 'missing'"):
        of_docstring(documented, documented)


def test_a_number_without_a_unit_is_found() -> None:
    """Also where it has a default and a sentence."""
    bare = Parameter(names=("wait",), type="number, more than 0", default="1", text="Wait so long for it.")
    assert bare.lacks() == ["unit"]
    assert Parameter(names=("wait",), type="text", default="", text="Wait").lacks() == ["default", "sentence"]


def test_buildbots_plugins_are_what_is_documented() -> None:
    """A step that is added to the plugins must get its heading. A page (`buildbot.www`) has no settings."""
    points = distribution("buildbot-amqp").entry_points
    groups = {f"buildbot.{group}": group for group in ("steps", "util", "worker")}
    ours = {f"{groups[point.group]}.{point.name}" for point in points if point.group in groups}
    assert ours == set(master_cfg())
