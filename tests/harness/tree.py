"""The files of this project: what git tracks, or what an unpacked sdist holds."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What tools leave in an unpacked sdist.
_LEFT_BY_TOOLS = {".venv", ".state", ".cache", "build", "dist", "node_modules", "__pycache__"}


@cache
def project_files() -> tuple[str, ...]:
    """Names relative to `ROOT`, sorted."""
    if (ROOT / "PKG-INFO").exists():
        files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        return tuple(sorted(str(file) for file in files if not _made_by_a_tool(file)))
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(sorted(name for name in done.stdout.splitlines() if (ROOT / name).is_file()))


def _made_by_a_tool(file: Path) -> bool:
    return bool(_LEFT_BY_TOOLS & set(file.parts)) or any(
        part.endswith("_cache") or part == ".hypothesis" for part in file.parts
    )
