"""Bare Debian systems with this repository's files in them, and a master that wants a worker there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.acceptance.installer.debian_root import DebianRoot
from tests.harness.master import BuildMaster

REPOSITORY = Path(__file__).parents[3]
CONFIG = """
c['workers'] = worker.amqp_column("linux", workers=1, requires=["os==linux", "debian>=11"])
builder("hello", c['workers'], steps.ShellCommand(name="who", command="id -un; pwd"))
builder("slow", c['workers'], steps.ShellCommand(name="wait",
    command="echo begun; until test -e /var/tmp/go; do sleep 0.2; done; echo ended"))
"""


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianRoot]:
    """A base system with this repository's files in /src."""
    yield from _debian(tmp_path_factory.mktemp("debian"))


@pytest.fixture
def debian_of_its_own(tmp_path: Path) -> Iterator[DebianRoot]:
    """Another one, for a test that changes the system itself."""
    yield from _debian(tmp_path)


def _debian(folder: Path) -> Iterator[DebianRoot]:
    if os.geteuid() != 0:
        pytest.fail("this test needs root (chroot)")
    root = DebianRoot(folder / "root")
    try:
        root.create()
        source = root.path("/src")
        source.mkdir()
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout.decode()
        for name in listed.split("\0"):
            if name and (REPOSITORY / name).is_file():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, source / name)
        yield root
    finally:
        root.close()


@pytest.fixture
def master(tmp_path: Path, node: RabbitMQNode, make_vhost: Callable[[], str]) -> Iterator[tuple[BuildMaster, str]]:
    """A master with a column for Debian, and the vhost it uses."""
    vhost = make_vhost()
    running = BuildMaster(tmp_path / "master", CONFIG, url=node.vhost_url(vhost))
    running.create()
    running.start()
    running.wait_linked()
    yield running, vhost
    running.kill()
