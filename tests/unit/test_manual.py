"""Manual pages and completion are as the commands are, can be read by troff, and complete in a real shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from docs import generate_manual as manual

PAGES = {path.name: text for path, text in manual.files().items() if path.suffix == ".1"}
#: Requests of man(7) that the pages use.
REQUESTS = {".TH", ".SH", ".SS", ".TP", ".PP", ".nf", ".fi", '.\\"'}


def test_the_files_are_as_the_commands_are() -> None:
    """A change of a command without `make docs` is caught here; so is a page of a command that is gone."""
    assert manual.stale() == []


@pytest.mark.parametrize("page", PAGES)
def test_each_page_has_the_sections_of_a_manual(page: str) -> None:
    """No line of text is taken for a request; each command of `master-bridge` tells its exit status."""
    lines = PAGES[page].splitlines()
    assert {line.split()[0] for line in lines if line.startswith((".", "'"))} <= REQUESTS
    sections = [line.removeprefix(".SH ") for line in lines if line.startswith(".SH ")]
    assert sections[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
    if page.startswith("master-bridge") or page == "worker-agent.1":
        assert "EXIT STATUS" in sections


def test_text_is_no_request() -> None:
    assert manual.escaped(".SH a\\b --c") == "\\&.SH a\\eb \\-\\-c"


@pytest.mark.parametrize(
    ("program", "words", "found"),
    [
        ("master-bridge", "fl", {"fleet"}),
        ("master-bridge", "fleet --sort ca", set()),
        ("master-bridge", "fleet --sort r", {"runs"}),
        ("master-bridge", "dead dr", {"drop"}),
        ("worker-agent", "cap", {"capabilities"}),
    ],
)
def test_bash_completes_with_what_is_shipped(program: str, words: str, found: set[str]) -> None:
    """The script as it is installed, in a real bash, with the program on its PATH."""
    script = manual.FOLDER / "bash-completion/completions" / program
    code = (
        f'source "$1"; COMP_WORDS=({program} {words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); '
        f'_{program.replace("-", "_")}_completion {program}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", code, "bash", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == found, done.stderr
