"""Lines that are read, and those that are refused: with number, field, and what to write instead."""

from __future__ import annotations

import json

import pytest

from contracts.pipeline.lines import LINE_MAX, LINES_MAX, MODELS, NAME_MAX, PROPERTIES_MAX, STEPS_MAX, VALUE_MAX
from contracts.pipeline.script import Allowed, BadPipeline, Budget, Script

ALL = Allowed(types=frozenset(MODELS), requirements=frozenset({"gtk", "python"}), schedulers=frozenset({"deploy"}))


def refused(*lines: str, allowed: Allowed = ALL) -> str:
    script = Script(allowed)
    for line in lines[:-1]:
        script.take(line)
    with pytest.raises(BadPipeline) as caught:
        script.take(lines[-1])
    text = str(caught.value)
    assert text.startswith(f"line {len(lines)}: ")
    assert text.isprintable(), "it goes to a terminal and to a page"
    assert len(text) < 1000
    return text


def run(**fields: object) -> str:
    return json.dumps({"type": "run", "command": ["make"], **fields})


@pytest.mark.parametrize(
    ("line", "field", "told"),
    [
        ('{"type": "run", "comand": ["make"]}', "comand", "did you mean `command`?"),
        ('{"type": "run", "command": "x", "Requires": []}', "Requires", "did you mean `requires`?"),
        ('{"type": "runn"}', "type", "did you mean `run`?"),
        ('{"typ": "run"}', "type", "is missing"),
        ('{"type": "run"}', "command", "is missing"),
        ('{"type": 5}', "type", "it is one of `version`"),
        (run(command=[]), "command", "A list of the program"),
        (run(command=""), "command", "A list of the program"),
        (run(command=["a", 5]), "command", "A list of the program"),
        (run(command=["a", None]), "command", "A list of the program"),
        (run(command=["a\0b"]), "command", "A list of the program"),
        (run(name="x" * (NAME_MAX + 1)), "name", f"at most {NAME_MAX} characters"),
        (run(name="a\nb"), "name", "What the step is called"),
        (run(name=""), "name", "What the step is called"),
        (run(env={"A=B": "1"}), "env", "Variables"),
        (run(env={"A": 1}), "env", "Variables"),
        (run(env=["A=1"]), "env", "Variables"),
        (run(workdir="/etc"), "workdir", "below the build's own"),
        (run(workdir="a/../../b"), "workdir", "below the build's own"),
        (run(workdir="C:\\x"), "workdir", "below the build's own"),
        (run(workdir="..\\x"), "workdir", "below the build's own"),
        (run(timeout=-1), "timeout", "Seconds"),
        (run(timeout="5"), "timeout", "Seconds"),
        (run(timeout=True), "timeout", "Seconds"),
        (run(max_time=1e300), "max_time", "Seconds"),
        (run(requires="gtk"), "requires", "What an agent must offer"),
        (run(requires=["g t$k"]), "requires", "'$' does not belong here"),
        (run(requires=["gtk>=3 gpu"]), "requires", "may not ask for `gpu`, they may ask for `gtk`, `python`"),
        (run(requires=["gtk|gpu"]), "requires", "may not ask for `gpu`"),
        (run(needs=["run 7"]), "needs", "no step before this line is called `run 7`"),
        (run(needs="a"), "needs", "Names of earlier steps"),
        (run(logfiles={"l": 5}), "logfiles", "Name of a log"),
        ('{"type": "run", "command": "a", "command": "b"}', "command", "is there twice"),
        ('{"type": "trigger", "scheduler": "deploi"}', "scheduler", "did you mean `deploy`?"),
        ('{"type": "upload", "path": "a", "to": "../a"}', "to", "no path"),
        ('{"type": "upload", "path": "a", "to": ".bashrc"}', "to", "no path"),
        ('{"type": "upload", "path": "a", "to": "a/b"}', "to", "no path"),
        ('{"type": "property", "property": "a b", "value": 1}', "property", "letters, digits"),
        ('{"type": "property", "property": "a"}', "value", "is missing"),
        ('{"type": "battery", "units": ["a"], "command": ["pytest"]}', "command", '"{units}" stands for the units'),
        ('{"type": "battery", "units": [], "command": ["{units}"]}', "units", "The tests"),
        ('{"type": "wait", "continue_on_failure": 1}', "continue_on_failure", "does not fit"),
        ('{"type": "version", "version": 2}', "version", "1 can"),
    ],
)
def test_a_bad_field_is_named_with_its_remedy(line: str, field: str, told: str) -> None:
    text = refused(line)
    assert f"`{field}`" in text
    assert told in text


@pytest.mark.parametrize(
    "line",
    [
        "make",
        "[]",
        "5",
        "null",
        '{"type": "run", "command": "x"',
        "{'type': 'run'}",
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"type": "run", "command": "\\ud800"}',
        "[" * 100_000,
        '{"a":' * 60 + "1" + "}" * 60,
        '{"type": "run", "command": "\x1b[31m"}',
        '{"\x1b]0;x\x07": 1}',
        '{"type": "\\u001b[31m\\u202e"}',
        '{"type": "run", "command": "' + "x" * LINE_MAX + '"}',
    ],
)
def test_what_is_no_line_is_told(line: str) -> None:
    refused(line)


def test_names_are_unique_and_known_before_they_are_needed() -> None:
    assert "line 1 is called `a`, too" in refused(run(name="a"), run(name="a"))
    assert "did you mean `compile`?" in refused(run(name="compile"), run(needs=["complie"]))
    assert "no step before" in refused(run(name="a", needs=["a"]))


def test_version_is_the_first_line_or_none() -> None:
    script = Script(ALL)
    assert script.take('{"type": "version", "version": 1}') is not None
    assert "move it there" in refused("", '{"type": "version", "version": 1}')


def test_an_empty_line_is_none_and_counts() -> None:
    script = Script(ALL)
    assert script.take("") is script.take("   ") is None
    entry = script.take(run())
    assert entry is not None
    assert (entry.number, entry.name, entry.needs) == (3, "run 3", None)


def test_nothing_but_the_builders_own_is_allowed_where_nothing_is_said() -> None:
    """A repository gets no more than its builder's steps on its builder's worker."""
    for line in (
        '{"type": "trigger", "scheduler": "deploy"}',
        '{"type": "upload", "path": "a", "to": "a"}',
        '{"type": "property", "property": "a", "value": 1}',
        '{"type": "battery", "units": ["a"], "command": ["x", "{units}"]}',
        run(requires=["gtk"]),
        run(requires=[]),
    ):
        assert "whoever configures the builder" in refused(line, allowed=Allowed())


@pytest.mark.parametrize("requires", [[], ["any"]])
def test_any_agent_is_allowed_by_name_only(requires: list[str]) -> None:
    """An agent of which nothing is asked may be one that other builders keep for themselves."""
    text = refused(run(requires=requires), allowed=Allowed(requirements=frozenset({"gtk"})))
    assert "add `any` to `may_require`" in text
    assert Script(Allowed(requirements=frozenset({"any"}))).take(run(requires=requires)) is not None


def test_what_a_program_says_is_bounded() -> None:
    """Lines, properties, and what each holds."""
    script = Script(ALL)
    script.lines = LINES_MAX
    with pytest.raises(BadPipeline, match=f"at most {LINES_MAX} lines"):
        script.take(run())
    script = Script(ALL)
    for number in range(PROPERTIES_MAX):
        script.take(json.dumps({"type": "property", "property": f"p{number}", "value": 1}))
    with pytest.raises(BadPipeline, match=f"at most {PROPERTIES_MAX} properties"):
        script.take('{"type": "property", "property": "more", "value": 1}')
    assert "16384 bytes" in refused(json.dumps({"type": "property", "property": "p", "value": "x" * VALUE_MAX}))
    large = {"type": "trigger", "scheduler": "deploy", "properties": {"p": "x" * VALUE_MAX}}
    assert "16384 bytes" in refused(json.dumps(large))


def test_the_number_of_steps_is_bounded() -> None:
    script = Script(ALL, budget=Budget(left=2))
    script.take(run())
    script.take(run())
    with pytest.raises(BadPipeline, match=f"at most {STEPS_MAX}"):
        script.take(run())


def test_pipelines_in_one_another_are_bounded() -> None:
    with pytest.raises(BadPipeline, match="more than 10 in one another"):
        Script(ALL, depth=10).take('{"type": "pipeline", "command": "x"}')
