"""From a bare Debian to a worker that builds, through an upgrade under a running build, and back to bare."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator

import pytest

from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.acceptance.installer.booted import BootedDebian
from tests.acceptance.installer.debian_root import DebianRoot
from tests.acceptance.installer.leaks import CommandLines
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.root, pytest.mark.timeout(1800)]


def install(debian: DebianRoot, *arguments: str, **environment: str) -> str:
    ran = debian.run("sh", "/src/deploy/install-worker.sh", "--source", "/src", *arguments, environment=environment)
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def test_a_dry_run_changes_nothing(debian: DebianRoot) -> None:
    """Not one file of the bare system, and what is missing on it is told."""
    before = debian.files()
    told = install(debian, "--dry-run", "--start", "amqp://b7@127.0.0.1/")
    assert "missing Python 3.10 or newer" in told
    assert "would run: apt-get update" in told
    assert debian.files() == before
    assert debian.processes() == []


def test_from_a_bare_machine_to_a_worker_and_back(
    debian: DebianRoot,
    master: tuple[BuildMaster, str],
    node: RabbitMQNode,
    record_testsuite_property: Callable[..., None],
) -> None:
    """Install, build, upgrade under a running build, uninstall; the password is on no command line meanwhile."""
    buildmaster, vhost = master
    full = node.vhost_url(vhost)
    assert node.password in full
    url = full.replace(f":{node.password}@", "@")

    with CommandLines(node.password) as watched:
        transcript = install(
            debian, "--start", "--wait", "90", "--name", "fresh-debian", url, WORKER_AGENT_PASSWORD=node.password
        )
    print(transcript)
    record_testsuite_property("installer_transcript", transcript)
    assert watched.looked > 1000
    assert watched.leaks == set()
    assert node.password not in transcript
    assert "missing Python 3.10 or newer" in transcript
    assert "debian>=11+os==linux" in transcript

    group = int(debian.run("id", "-g", "worker-agent").stdout)
    for name in ("/etc/worker-agent.toml", "/etc/worker-agent/amqp-url"):
        found = debian.path(name).stat()
        assert stat.S_IMODE(found.st_mode) == 0o640
        assert (found.st_uid, found.st_gid) == (0, group)
    assert debian.run("getent", "passwd", "worker-agent").stdout.strip().endswith(":/usr/sbin/nologin")
    assert debian.path(os.readlink(debian.path("/opt/worker-agent/current"))).stat().st_uid == 0

    build = buildmaster.finished(buildmaster.force("hello"), timeout=90)
    assert build.result == "SUCCESS", buildmaster.describe(build.row["buildrequestid"])
    assert buildmaster.properties(build)["agent"] == "fresh-debian"
    who, where = buildmaster.output(build, "who").split()
    assert who == "worker-build"
    assert where.startswith("/var/lib/worker-build/builds/fresh-debian/")
    doctor = debian.run("/opt/worker-agent/current/bin/worker-agent", "--config", "/etc/worker-agent.toml", "doctor")
    assert "commands run as worker-build, the agent as root" in doctor.stdout  # as whom it was asked
    assert "pass  separation" in doctor.stdout

    # upgrade, while a build runs
    configuration = debian.path("/etc/worker-agent.toml")
    configuration.write_text(configuration.read_text() + 'admin = "Edited by hand"\n')
    identity = debian.path("/var/lib/worker-agent/instance.json").read_text()
    program = os.readlink(debian.path("/opt/worker-agent/current"))
    request = buildmaster.force("slow")
    buildmaster.step_running(request, "wait", timeout=60)
    upgraded = install(debian, "--start", "--wait", "90")
    print(upgraded)
    assert "kept" in upgraded
    assert "restarted in place" in upgraded
    assert os.readlink(debian.path("/opt/worker-agent/current")) != program
    assert "Edited by hand" in configuration.read_text()
    assert debian.path("/etc/worker-agent/amqp-url").read_text().strip().endswith(vhost)
    debian.path("/var/tmp/go").touch()
    build = buildmaster.finished(request, timeout=90)
    debian.path("/var/tmp/go").unlink()
    assert build.result == "SUCCESS", buildmaster.describe(request)
    assert buildmaster.output(build, "wait") == "begun\nended\n"
    assert len(buildmaster.builds(request)) == 1
    assert _uuid(debian.path("/var/lib/worker-agent/instance.json").read_text()) == _uuid(identity)

    removed = install(debian, "--uninstall")
    print(removed)
    assert "user worker-agent removed" in removed
    for name in ("/opt/worker-agent", "/etc/worker-agent.toml", "/etc/worker-agent", "/var/lib/worker-agent"):
        assert not debian.path(name).exists()
    assert not debian.path("/var/lib/worker-build").exists()
    for user in ("worker-agent", "worker-build"):
        assert debian.run("id", user).returncode != 0
    wait_for(lambda: debian.processes() == [], 60, "every process of the worker has ended")


@pytest.fixture
def machine(debian: DebianRoot) -> Iterator[BootedDebian]:
    """The same Debian with its systemd running."""
    booted = BootedDebian(debian)
    try:
        booted.start()
        yield booted
    finally:
        booted.stop()


def test_under_systemd_a_build_outlives_the_agents_crash_and_upgrade(
    machine: BootedDebian, debian: DebianRoot, master: tuple[BuildMaster, str], node: RabbitMQNode
) -> None:
    """The service is started and watched; killed, it comes back and the build goes on; so at an upgrade."""
    buildmaster, vhost = master
    url = node.vhost_url(vhost).replace(f":{node.password}@", "@")
    script = ("sh", "/src/deploy/install-worker.sh", "--source", "/src", "--wait", "90")
    installed = machine.run(*script, "--name", "systemd", url, environment={"WORKER_AGENT_PASSWORD": node.password})
    assert installed.returncode == 0, installed.stdout
    assert "services by systemd" in installed.stdout
    assert "debian>=11+os==linux" in installed.stdout
    properties = ("ActiveState", "User", "KillMode", "NoNewPrivileges", "WatchdogUSec", "AmbientCapabilities")
    shown = machine.run("systemctl", "show", "worker-agent", *(f"--property={name}" for name in properties)).stdout
    assert set(shown.split()) == {
        "ActiveState=active", "User=worker-agent", "KillMode=process", "NoNewPrivileges=yes", "WatchdogUSec=1min",
        "AmbientCapabilities=cap_kill", "cap_setgid", "cap_setuid",
    }  # fmt: skip

    go = debian.path("/var/tmp/go")
    build = buildmaster.finished(buildmaster.force("hello"), timeout=90)
    assert buildmaster.output(build, "who").split()[0] == "worker-build"
    request = buildmaster.force("slow")
    buildmaster.step_running(request, "wait", timeout=60)
    first = _main_pid(machine)
    machine.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "worker-agent")
    wait_for(lambda: _main_pid(machine) not in ("0", first), 60, "systemd started it again")
    upgraded = machine.run(*script)
    assert upgraded.returncode == 0, upgraded.stdout
    assert "restarted in place" in upgraded.stdout
    go.touch()
    build = buildmaster.finished(request, timeout=90)
    go.unlink()
    assert build.result == "SUCCESS", buildmaster.describe(request)
    assert buildmaster.output(build, "wait") == "begun\nended\n"
    assert len(buildmaster.builds(request)) == 1

    # an installation of before, with one user, stays so; with a line run_as it gets the second
    configuration = debian.path("/etc/worker-agent.toml")
    with_two = configuration.read_text()
    configuration.write_text(with_two.replace('run_as = "worker-build"\n', ""))
    upgraded = machine.run(*script)
    assert upgraded.returncode == 0, upgraded.stdout
    assert "commands run as the agent's own user" in upgraded.stdout
    build = buildmaster.finished(buildmaster.force("hello"), timeout=90)
    assert buildmaster.output(build, "who").split()[0] == "worker-agent"
    machine.run("systemctl", "restart", "worker-agent")
    configuration.write_text(with_two)
    upgraded = machine.run(*script)
    assert upgraded.returncode == 0, upgraded.stdout
    build = buildmaster.finished(buildmaster.force("hello"), timeout=90)
    assert buildmaster.output(build, "who").split()[0] == "worker-build"

    removed = machine.run("sh", "/src/deploy/install-worker.sh", "--uninstall")
    assert removed.returncode == 0, removed.stdout
    assert not debian.path("/etc/systemd/system/worker-agent.service").exists()
    assert machine.run("systemctl", "is-enabled", "worker-agent").returncode != 0


def _main_pid(machine: BootedDebian) -> str:
    return machine.run("systemctl", "show", "worker-agent", "--property=MainPID", "--value").stdout.strip()


def _uuid(instance: str) -> str:
    import json

    return str(json.loads(instance).get("uuid") or json.loads(instance).get("instance"))


def test_a_source_that_cannot_be_used_changes_no_worker(debian: DebianRoot) -> None:
    """Not installable, or installed and yet not starting: the reason is told, the program in use stays in use."""
    ran = debian.run("sh", "/src/deploy/install-worker.sh", "--source", "/no/such/folder", "amqp://b7@127.0.0.1/")
    assert ran.returncode == 1
    assert "pip could not install /no/such/folder[worker,signing]" in ran.stdout
    broken = debian.path("/broken")
    shutil.copytree(debian.path("/src"), broken)
    (broken / "worker_agent" / "program" / "cli.py").write_text("import no_such_module\n")
    ran = debian.run("sh", "/src/deploy/install-worker.sh", "--source", "/broken", "amqp://b7@127.0.0.1/")
    assert ran.returncode == 1
    assert "does not start" in ran.stdout
    assert "no_such_module" in ran.stdout
    assert not debian.path("/opt/worker-agent/current").exists()
    assert list(debian.path("/opt/worker-agent/venvs").iterdir()) == []
    install(debian, "--uninstall")
    assert not debian.path("/opt/worker-agent").exists()
