"""The files around the code: scripts can be parsed, links lead somewhere, nothing names one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

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
        ["shellcheck", "--external-sources", "--severity=info", *SCRIPTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", PAGES)
def test_every_relative_link_of_a_page_leads_to_a_file(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\(([^)#\s]+)", re.sub(r"```.*?```", "", page.read_text(), flags=re.S))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def anchors(page: Path) -> set[str]:
    """Those that GitHub gives to headings: lower case, no punctuation, a hyphen for each space; twins are numbered."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", without_code(page), flags=re.M):
        text = re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "]", heading).lower()).replace(" ", "-")
        twins = sum(1 for each in found if re.fullmatch(rf"{re.escape(text)}(-\d+)?", each))
        found.append(f"{text}-{twins}" if twins else text)
    return set(found)


def without_code(page: Path) -> str:
    return re.sub(r"^(```|~~~).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)


@pytest.mark.parametrize("name", PAGES)
def test_every_anchor_of_a_link_is_a_heading(name: str) -> None:
    page = ROOT / name
    missing = []
    for link, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", without_code(page)):
        target = page.parent / link if link else page
        if target.suffix == ".md" and anchor not in anchors(target):
            missing.append(f"{link}#{anchor}")
    assert not missing


def test_every_path_that_contributors_are_told_is_there() -> None:
    folders = "contracts|conformance|worker_agent|master_bridge|tests|docs|deploy|examples|news"
    told = re.findall(rf"`(?:[^`]* )?((?:{folders})/[\w./-]+)", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(told) > 10
    assert [name for name in told if not (ROOT / name).exists()] == []


def test_make_help_lists_what_the_readme_promises() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "test-long", "lint", "bench"):
        assert re.search(rf"^{target}\s", shown, flags=re.M), f"make {target} is not explained"


def test_the_licence_is_the_gpl_that_buildbot_has() -> None:
    assert "GNU GENERAL PUBLIC LICENSE\n                       Version 2, June 1991" in (ROOT / "LICENSE").read_text()
