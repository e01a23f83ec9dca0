"""A machine of the test's own: a PATH of scripts, a folder for capabilities.d."""

from __future__ import annotations

import os
import stat
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from worker_agent.capabilities import DetectOptions, Inventory

#: Scripts may use these; the programs under test come first.
SYSTEM = "/usr/bin:/bin"

WriteProgram = Callable[..., Path]
WriteProbes = Callable[..., Path]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def program(tools: Path) -> WriteProgram:
    """Writes an executable script onto the PATH of this test."""

    def write(name: str, script: str, *, folder: Path | None = None) -> Path:
        path = (folder or tools) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # written aside: a file that any process has open for writing cannot be run (ETXTBSY)
        aside = path.with_name(f".{path.name}.new")
        aside.write_text(f"#!/bin/sh\n{textwrap.dedent(script)}\n")
        aside.chmod(aside.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        os.replace(aside, path)
        return path

    return write


@pytest.fixture
def probes(tmp_path: Path) -> WriteProbes:
    """Writes a file of this test's capabilities.d and returns the folder."""

    def write(text: str, name: str = "test.toml") -> Path:
        folder = tmp_path / "capabilities.d"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
        return folder

    return write


@pytest.fixture
def options(tools: Path, tmp_path: Path) -> Callable[..., DetectOptions]:
    """Options for this test's PATH and capabilities.d, with only the probes written there."""

    def make(**changes: object) -> DetectOptions:
        given: dict[str, object] = {
            "path": f"{tools}{os.pathsep}{SYSTEM}",
            "folders": (tmp_path / "capabilities.d",),
            "auto": False,
            "timeout": 5.0,
        }
        return DetectOptions(**{**given, **changes})  # type: ignore[arg-type]

    return make


def names(inventory: Inventory) -> list[str]:
    return [f"{found.name} {found.version or '-'}" for found in inventory.capabilities]


def reasons(inventory: Inventory) -> dict[str, str]:
    return {failure.probe: failure.reason for failure in inventory.failures}
