"""A bare Debian joins a secure fleet with one line: TLS, own account, signatures, sealed builds; then new keys."""

from __future__ import annotations

import os
import stat
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.ports import free_ports
from contracts.trust.signing import generate
from master_bridge.cli import main
from master_bridge.operating.certificates import broker_settings, make
from tests.acceptance.installer.debian_root import DebianRoot
from tests.acceptance.installer.leaks import CommandLines
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.root, pytest.mark.timeout(1800)]

CONFIG = """
c['workers'] = worker.amqp_column("linux", workers=1, requires=["os==linux", "debian>=11"], seal=True)
builder("hello", c['workers'], steps.ShellCommand(name="who", command="id -un"))
builder("slow", c['workers'], steps.ShellCommand(name="wait",
    command="echo begun; until test -e /var/tmp/go; do sleep 0.2; done; echo ended"))
"""
SCRIPT = ("sh", "/src/deploy/install-worker.sh", "--source", "/src", "--start", "--wait", "90", "--config")


@dataclass(frozen=True, kw_only=True)
class Fleet:
    master: BuildMaster
    folder: Path
    enroll: Callable[..., Path]

    def page(self) -> str:
        """What the page is told."""
        url = f"http://127.0.0.1:{self.master.www_port}/plugins/amqp_fleet/fleet"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return str(answer.read().decode())

    def passwords(self) -> list[str]:
        """Of all files that `enroll` has written."""
        texts = [path.read_text() for path in self.folder.glob("*.toml")]
        return [text.rpartition("amqps://builder7:")[2].partition("@")[0] for text in texts]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A broker with TLS, a master that signs, and `enroll` at the desk."""
    made = make(tmp_path / "tls", ["127.0.0.1"], ())
    settings = broker_settings(made)
    del settings["listeners.tcp"], settings["listeners.ssl.default"]
    (port,) = free_ports(1)
    settings["listeners.ssl.1"] = f"127.0.0.1:{port}"
    for name in ("fleet-1", "fleet-2"):
        generate(tmp_path / name)
    with RabbitMQNode(tmp_path / "node", config=settings, plugins=("rabbitmq_management",)) as node:
        desk = {"MASTER_BRIDGE_AMQP_URL": node.url, "MASTER_BRIDGE_MANAGEMENT_URL": node.management_url}

        def enroll(name: str, file: str, *options: str) -> Path:
            path = tmp_path / file
            told = ("--broker-url", f"amqps://127.0.0.1:{port}/", "--output", str(path))
            ran = CliRunner().invoke(main, ["enroll", name, *told, *options], env=desk)
            assert ran.exit_code == 0, ran.output
            return path

        url = enroll("m1", "m1.url", "--as", "master").read_text().strip()
        security = f"tls={{'ca': {str(made.ca)!r}}}, signing_key={str(tmp_path / 'fleet-1')!r}"
        master = BuildMaster(tmp_path / "master", CONFIG, url=url, broker=security)
        master.create()
        master.start()
        try:
            master.wait_linked()
            yield Fleet(
                master=master,
                folder=tmp_path,
                enroll=lambda *more: enroll("builder7", *more[:1], "--worker-ca", str(made.ca), *more[1:]),
            )
        finally:
            master.kill()


class FirstSeen(threading.Thread):
    """Looks at the page until it names the agent; `at`: seconds since the epoch."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        super().__init__(daemon=True)
        self._fleet, self._name = fleet, name
        self.at: float | None = None

    def run(self) -> None:
        while self._name not in self._fleet.page():
            time.sleep(0.1)
        self.at = time.time()


def test_a_bare_machine_joins_with_one_line(
    debian: DebianRoot, fleet: Fleet, record_testsuite_property: Callable[..., None]
) -> None:
    """It is on the page within seconds of its start; new keys, an upgrade and the end are the same script."""
    master = fleet.master
    first = fleet.enroll("first.toml", "--trusted-key", str(fleet.folder / "fleet-1.pub"))
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    seen = FirstSeen(fleet, "builder7")
    seen.start()
    (password,) = fleet.passwords()
    began = time.time()
    with CommandLines(password) as watched:
        joined = debian.run(*SCRIPT, "-", input=first.read_text())
    assert joined.returncode == 0, joined.stdout
    seen.join(30)
    assert seen.at is not None
    started = debian.path("/var/lib/worker-agent/agent.pid").stat().st_mtime
    figures = f"on the page {seen.at - began:.1f} s after the line was begun, {seen.at - started:.1f} s after the agent"
    print(joined.stdout, figures)
    record_testsuite_property("joining", figures)
    assert seen.at - started < 30  # some 2 s on an idle machine
    assert watched.leaks == set()
    assert watched.looked > 1000
    assert "the program can work with it" in joined.stdout
    assert "debian>=11+os==linux" in joined.stdout
    group = int(debian.run("id", "-g", "worker-agent").stdout)
    configuration = debian.path("/etc/worker-agent.toml")
    found = configuration.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, group, 0o640)
    build = master.finished(master.force("hello"), timeout=120)
    assert build.result == "SUCCESS", master.describe(build.row["buildrequestid"])
    assert master.output(build, "who") == "worker-build\n"

    # new keys and a new password, under a running build; what the owner has set stays
    configuration.write_text('admin = "Ann"\n' + configuration.read_text())
    request = master.force("slow")
    master.step_running(request, "wait", timeout=120)
    keys = [str(fleet.folder / f"fleet-{number}.pub") for number in (1, 2)]
    second = fleet.enroll("second.toml", "--renew", "--trusted-key", keys[0], "--trusted-key", keys[1])
    debian.path("/root/second.toml").write_text(second.read_text())
    debian.path("/root/second.toml").chmod(0o600)
    again = debian.run(*SCRIPT, "/root/second.toml")
    assert again.returncode == 0, again.stdout
    assert "restarted in place" in again.stdout
    assert "rm /root/second.toml" in again.stdout
    assert configuration.read_text().endswith(second.read_text())
    assert 'admin = "Ann"\n' in configuration.read_text()
    debian.path("/var/tmp/go").touch()
    build = master.finished(request, timeout=120)
    assert build.result == "SUCCESS", master.describe(request)
    assert master.output(build, "wait") == "begun\nended\n"
    assert len(master.builds(request)) == 1

    # a file that was cut off; then an upgrade without any
    in_use, before = os.readlink(debian.path("/opt/worker-agent/current")), configuration.read_text()
    refused = debian.run(*SCRIPT, "-", input=second.read_text()[:-40])
    assert refused.returncode == 1
    assert "not all of it is there" in refused.stdout
    assert (os.readlink(debian.path("/opt/worker-agent/current")), configuration.read_text()) == (in_use, before)
    upgraded = debian.run(*SCRIPT[:-1])
    assert upgraded.returncode == 0, upgraded.stdout
    assert configuration.read_text() == before
    assert master.finished(master.force("hello"), timeout=120).result == "SUCCESS"

    removed = debian.run(*SCRIPT[:4], "--uninstall")
    assert removed.returncode == 0, removed.stdout
    said = joined.stdout + again.stdout + refused.stdout + upgraded.stdout + removed.stdout
    assert not [each for each in fleet.passwords() if each in said]
    assert not configuration.exists()
    wait_for(lambda: debian.processes() == [], 60, "every process of the worker has ended")
