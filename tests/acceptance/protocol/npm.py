"""Node packages of a folder, installed when they are missing. A machine without npm is an error, not a skip."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
NODE_WORKER = ROOT / "examples" / "worker-node"


def installed(folder: Path) -> Path:
    """`folder`, with exactly the packages that its lock file names."""
    wanted = json.loads((folder / "package-lock.json").read_text())["packages"]
    for place, package in wanted.items():
        have = folder / place / "package.json"
        if place and not package.get("optional") and not (have.exists() and _version(have) == package["version"]):
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=600)
            break
    return folder


def _version(package: Path) -> str:
    return str(json.loads(package.read_text())["version"])
