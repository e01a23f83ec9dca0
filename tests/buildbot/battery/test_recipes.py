"""The recipes of docs/how-to/batteries.md, run as they stand there: pytest, ctest, node's runner."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.tree import ROOT

PAGE = ROOT / "docs" / "how-to" / "batteries.md"
FILES = {
    "pytest": {
        "tests/test_a.py": "import pytest\n\n@pytest.mark.parametrize('x', ['1/2', 'b'])\ndef test_one(x): pass\n\n"
        "class TestB:\n    def test_bad(self): assert 1 == 2\n",
        "tests/sub/test_c.py": "def test_three(): pass\n",
    },
    "ctest": {
        "CMakeLists.txt": "cmake_minimum_required(VERSION 3.21)\nproject(x NONE)\nenable_testing()\n"
        "add_test(NAME math.add COMMAND true)\nadd_test(NAME math.add2 COMMAND true)\n"
        "add_test(NAME math.sub COMMAND false)\n",
    },
    "node": {
        "test/add.test.js": "require('node:test')('adds', () => {});\n",
        "test/sub.test.js": "require('node:test')('subtracts', () => { throw new Error('wrong'); });\n",
    },
}
TOLD = {
    "pytest": "4 units, 1 failed (tests/test_a.py::TestB::test_bad)",
    "ctest": "3 units, 1 failed (math.sub)",
    "node": "2 units, 1 failed (test/sub.test.js)",
}


def recipes() -> dict[str, str]:
    """Name -> the step in the page's block of code under "### name"."""
    text = PAGE.read_text("utf-8")
    return dict(re.findall(r"### (\w+)\n.*?```python\n(.*?)```", text, re.DOTALL))


@pytest.mark.long
def test_each_recipe_runs(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Units are found, run on agents from an archive, and the failure is the right unit's."""
    for name, files in FILES.items():
        for path, content in files.items():
            (tmp_path / "sources" / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "sources" / name / path).write_text(content)
    text = "c['workers'] = [worker.LocalWorker('local')]\n"
    for name, step in recipes().items():
        prepared = step.strip().rstrip(",").replace('"python3"', repr(sys.executable))
        prepared = prepared.replace("python3 -m", f"{sys.executable} -m")
        text += (
            f"builder({name!r}, c['workers'],\n    steps.ShellCommand(command='cp -r {tmp_path}/sources/{name}/. .'),\n"
        )
        text += f"    {prepared})\n"
    master = make_master(text)
    for name in ("a1", "a2"):
        make_agent(name, capabilities=["python=3.11", "cmake=3.25", "node=20.1"])
    requests = {name: master.force(name) for name in TOLD}
    for name, told in TOLD.items():
        build = master.finished(requests[name], 120)
        assert build.steps["battery"]["state_string"] == told, master.describe(requests[name])
