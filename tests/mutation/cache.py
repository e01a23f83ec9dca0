"""What earlier runs found out is kept by the changes' numbers: good for as long as the same changes are made."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

_SETTINGS = "[tool.mutmut]"


def begin_anew_after_changes(root: Path) -> None:
    """Throw away the results below `root` where its settings of mutmut, or what makes changes, are others now."""
    settings = (root / "pyproject.toml").read_text("utf-8").partition(_SETTINGS)[2]
    maker = (root / "tests" / "mutation" / "mutants.py").read_text("utf-8")
    made_by = hashlib.sha256((settings + maker).encode()).hexdigest()
    results = root / "mutants"
    note = results / "made-by"
    if results.exists() and (not note.exists() or note.read_text("ascii") != made_by):
        shutil.rmtree(results)
    results.mkdir(exist_ok=True)
    note.write_text(made_by, "ascii")
