"""A program whose extra is not installed says which one it needs, and how to install it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from master_bridge.cli import COMMANDS
from tests.harness.tree import ROOT

OURS = "buildbot-amqp"
GROUPS = {"dead": ["list"]}
ARGUMENTS = {
    "conformance": ["--amqp-url", "amqp://localhost/", "--", "true"],
    "copy": ["--on", "a", "x", "y"], "get": ["--on", "a", "x", "y"], "put": ["--on", "a", "/etc/passwd", "y"],
    "rename": ["--on", "a", "x", "y"], "rm": ["--on", "a", "x"], "run": ["--on", "a", "true"], "ls": ["--on", "a"],
    "drain": ["a"], "enroll": ["a", "--rabbitmqctl", "true"], "keygen": ["key"], "probe": ["a"], "restart": ["a"],
    "move": ["--accounts", ".", "--to", "amqp://localhost/"], "resume": ["a"],
    "revoke": ["a", "--rabbitmqctl", "true"], "stop": ["a"], "trial-certificates": ["certificates"],
    "trial-fleet": ["fleet"], "why": ["1"],
}  # fmt: skip
#: They need nothing beyond the package's own dependencies.
BARE = ("enroll", "pipeline", "reach", "revoke", "serve-agent")


def base_distributions() -> set[str]:
    """What `pip install buildbot-amqp`, without an extra, installs."""
    found: set[str] = set()
    waiting = [OURS]
    while waiting:
        for text in distribution(waiting.pop()).requires or ():
            wanted = Requirement(text)
            if (wanted.marker is None or wanted.marker.evaluate({"extra": ""})) and wanted.name not in found:
                found.add(wanted.name)
                waiting.append(wanted.name)
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment with the package and no extra. Made without a network."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    for name in base_distributions():
        for file in distribution(name).files or ():
            source = Path(str(file.locate()))
            top = file.parts[0]
            if ".." not in file.parts and source.exists() and not (packages / top).exists():
                (packages / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    (packages / "ours.pth").write_text(f"{ROOT}\n")
    for program in ("master-bridge", "worker-agent"):
        _, _, code = (Path(sys.executable).parent / program).read_text().partition("\n")
        (folder / "bin" / program).write_text(f"#!{folder}/bin/python\n{code}")
        (folder / "bin" / program).chmod(0o755)
    return folder / "bin"


def run(bare: Path, folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MASTER_BRIDGE_", "WORKER_"))
    }
    return subprocess.run(
        [bare / command[0], *command[1:]], cwd=folder, env={**clean, "HOME": str(folder), **variables},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in BARE])
def test_each_command_of_master_bridge_names_its_extra(bare: Path, tmp_path: Path, name: str) -> None:
    arguments = [*GROUPS.get(name, ()), *ARGUMENTS.get(name, ())]
    ran = run(bare, tmp_path, "master-bridge", name, *arguments, MASTER_BRIDGE_AMQP_URL="amqp://localhost/")
    if name == "migrate":  # looks for the management API's address first
        ran = run(bare, tmp_path, "master-bridge", name, "--management-url", "http://localhost",
                  MASTER_BRIDGE_AMQP_URL="amqp://localhost/")  # fmt: skip
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert re.search(r"Error: the Python module \w+ is not installed: it comes with extra 'master'", ran.stderr)
    assert "pip install 'SOURCE[master" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("arguments", [(), ("run",), ("doctor",)])
def test_worker_agent_names_its_extra(bare: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = run(bare, tmp_path, "worker-agent", *arguments, WORKER_AGENT_AMQP_URL="amqp://localhost:1/")
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "is not installed: it comes with extra 'worker': pip install 'SOURCE[worker]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_keys_without_cryptography_name_the_extra_signing(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text("x")
    ran = run(bare, tmp_path, "worker-agent", "--trusted-key", "key.pub", WORKER_AGENT_AMQP_URL="amqp://localhost:1/")
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "pip install 'SOURCE[worker,signing]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_traces_without_opentelemetry_name_the_extra_otel(bare: Path, tmp_path: Path) -> None:
    ran = run(bare, tmp_path, "worker-agent", "--traces", WORKER_AGENT_AMQP_URL="amqp://localhost:1/")
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "worker-agent: --traces: the Python module opentelemetry is not installed" in ran.stderr
    assert "pip install 'SOURCE[worker,otel]'" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("program", ["master-bridge", "worker-agent"])
def test_help_needs_no_extra(bare: Path, tmp_path: Path, program: str) -> None:
    ran = run(bare, tmp_path, program, "--help")
    assert ran.returncode == 0, ran.stderr
