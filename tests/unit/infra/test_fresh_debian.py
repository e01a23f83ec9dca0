"""What `.ci/run` says where it cannot do its work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOBODY = 65534


@pytest.mark.parametrize("script", [".ci/run", "deploy/dev/on-fresh-debian.sh"])
def test_who_is_not_root_is_told_so(script: str, tmp_path: Path) -> None:
    """At once, before anything was made."""
    id_program = tmp_path / "id"
    id_program.write_text(f"#!/bin/sh\necho {NOBODY}\n")
    id_program.chmod(0o755)
    ran = subprocess.run(
        [ROOT / script, "true"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "needs root" in ran.stderr
    assert "make test" in ran.stderr
    assert list(tmp_path.iterdir()) == [id_program]
