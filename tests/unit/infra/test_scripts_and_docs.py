"""The files around the code: scripts can be parsed, links lead somewhere, nothing names one machine."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.harness.tree import ROOT, project_files


def is_shell(name: str) -> bool:
    with (ROOT / name).open("rb") as file:
        return name.endswith(".sh") or re.match(rb"#!/(usr/bin/env bash|bin/sh)\n", file.readline()) is not None


SCRIPTS = [name for name in project_files() if is_shell(name)]
PAGES = [name for name in project_files() if name.endswith(".md")]


def test_shellcheck_finds_nothing_in_shell_scripts() -> None:
    assert {".ci/run", "deploy/install-worker.sh", "deploy/docker/master/start-master"} <= set(SCRIPTS)
    done = subprocess.run(
        ["shellcheck", "--severity=info", *SCRIPTS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


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
