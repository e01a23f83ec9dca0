"""The repository that the demo builds: the local checkout it was started from."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from examples.demo.errors import DemoError


@dataclass(frozen=True, kw_only=True)
class Checkout:
    folder: Path
    revision: str
    subject: str
    #: files that differ from the commit, and so are not built
    uncommitted: int


def read_checkout(folder: Path) -> Checkout:
    """Raises `DemoError` when `folder` is no Git checkout with a commit, or Git refuses to read it."""
    revision, subject = _git(folder, "log", "-1", "--format=%H%n%s").splitlines()[:2]
    changed = _git(folder, "status", "--porcelain").splitlines()
    return Checkout(folder=folder, revision=revision, subject=subject, uncommitted=len(changed))


def _git(folder: Path, *args: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *args], capture_output=True, text=True)
    except FileNotFoundError:
        raise DemoError("git is missing: apt-get install git") from None
    if done.returncode:
        raise DemoError(f"the demo builds this very repository, but git cannot read {folder}:\n{done.stderr.strip()}")
    return done.stdout
