"""`master-bridge pipeline`: what the step on a master would say, and the schema."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from contracts.pipeline import schema
from contracts.pipeline.lines import MODELS
from contracts.pipeline.script import Allowed, BadPipeline, Script
from master_bridge.cli import main

LINES = """\
{"type": "version", "version": 1}
{"type": "run", "command": ["make"], "requires": ["gtk>=3"]}

{"type": "run", "comand": ["make"]}
{"type": "trigger", "scheduler": "deploy"}
"""


def check(lines: str, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["pipeline", "check", "-", *arguments], input=lines)
    return result.exit_code, result.stdout, result.stderr


def test_all_problems_are_told_in_the_words_of_the_step() -> None:
    status, said, problems = check(LINES, "--may-require", "python", "--schedulers", "deploi")
    script = Script(
        Allowed(types=frozenset(MODELS), requirements=frozenset({"python"}), schedulers=frozenset({"deploi"}))
    )
    words = []
    for line in LINES.splitlines():
        try:
            script.take(line)
        except BadPipeline as problem:
            words.append(str(problem))
    assert problems.splitlines() == words
    assert len(words) == 3
    assert (status, said) == (1, "5 lines, 0 steps, 3 problems\n")


def test_good_lines_are_counted(tmp_path: Path) -> None:
    assert check('{"type": "run", "command": "x"}\n')[:2] == (0, "1 lines, 1 steps, 0 problems\n")
    assert check('{"type": "trigger", "scheduler": "any"}\n')[0] == 0
    assert check('{"type": "run", "command": "x"}\n', "--allow", "wait")[0] == 1
    assert check("", "--allow", "walk")[0] == 2


def test_what_cannot_be_read_is_told_without_a_traceback(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are no JSON; what a program wrote reaches no terminal as it is."""
    file = tmp_path / "lines"
    file.write_bytes(b'{"type": "\xff"}\n{"type": "\x1b[31m"}\n')
    result = CliRunner().invoke(main, ["pipeline", "check", str(file)])
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    assert "\x1b" not in result.stderr
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["line 1", "line 2"]


def test_the_schema_is_fresh_and_printed() -> None:
    assert schema.FILE.read_text(encoding="utf-8") == schema.text(), "run make docs"
    assert CliRunner().invoke(main, ["pipeline", "schema"]).stdout == schema.text()
    properties = json.loads(schema.text())["$defs"]["RunLine"]
    assert properties["additionalProperties"] is False
