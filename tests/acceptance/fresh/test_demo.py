"""The README's first command on a machine with nothing but Debian, git, make and Python."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.long
@pytest.mark.root
@pytest.mark.timeout(1800)
def test_the_demo_ends_well_on_a_fresh_debian() -> None:
    """It installs what it needs, its builds succeed, and of the machine in the folder nothing is left."""
    before = mounts()
    ran = subprocess.run(
        ["deploy/dev/on-fresh-debian.sh", "make", "demo", "ARGS=--once"],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    print(ran.stdout)
    assert ran.returncode == 0
    assert re.search(r"its page of the fleet: http://127\.0\.0\.1:\d+/#/fleet", ran.stdout)
    assert mounts() == before


def mounts() -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if "buildbot-amqp-fresh" in line]
