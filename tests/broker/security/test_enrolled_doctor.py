"""`worker-agent doctor` with the configuration that `enroll` made: what it prints is the report, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from contracts.trust.signing import generate
from tests.harness.environment import program_environment


def test_the_report_is_all_that_an_enrolled_agents_doctor_prints(enroll: Callable[..., Path], tmp_path: Path) -> None:
    """Such an account may not declare exchanges, and has keys: what the agent would log of that is not said here."""
    generate(tmp_path / "key")
    config = enroll("b7", "--trusted-key", str(tmp_path / "key.pub"))
    done = subprocess.run(
        [sys.executable, "-m", "worker_agent", "--config", config, "--state", tmp_path / "state", "doctor", "--json"],
        env=program_environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    verdicts = {finding["check"]: finding["verdict"] for finding in json.loads(done.stdout)}
    assert done.stderr == ""
    assert verdicts["permissions"] == "pass"
    assert done.returncode == 0
