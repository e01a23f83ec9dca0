"""The files around the code: scripts can be parsed, links lead somewhere, nothing names one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
SCRIPTS = [name for name in TRACKED if name.endswith(".sh") or name == ".ci/run"]
PAGES = [name for name in TRACKED if name.endswith(".md")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_shell_script_parses(name: str) -> None:
    shell = "sh" if "#!/bin/sh" in (ROOT / name).read_text().partition("\n")[0] else "bash"
    done = subprocess.run([shell, "-n", name], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PAGES)
def test_every_relative_link_of_a_page_leads_to_a_file(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\(([^)#\s]+)", re.sub(r"```.*?```", "", page.read_text(), flags=re.S))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_make_help_lists_what_the_readme_promises() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "test-long", "lint", "bench"):
        assert re.search(rf"^{target}\s", shown, flags=re.M), f"make {target} is not explained"


def test_the_licence_is_the_gpl_that_buildbot_has() -> None:
    assert "GNU GENERAL PUBLIC LICENSE\n                       Version 2, June 1991" in (ROOT / "LICENSE").read_text()
