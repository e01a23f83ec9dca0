"""On a system with OpenRC and busybox, as Alpine is: the service is started, watched, upgraded under a build, removed.

The system is a Debian with those programs; Alpine's own packages (`apk`, musl, busybox's adduser) are not tried here.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.acceptance.installer.debian_root import DebianRoot
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.root, pytest.mark.timeout(1800)]

SCRIPT = ("busybox", "ash", "/src/deploy/install-worker.sh", "--source", "/src", "--wait", "90")
#: A boot would do these two: a network that is up, and the mark of a finished boot.
LOOPBACK = "#!/sbin/openrc-run\ndepend() { provide net; }\nstart() { :; }\n"


@pytest.fixture
def alpine_like(debian_of_its_own: DebianRoot) -> DebianRoot:
    """OpenRC as if booted; busybox's `su` instead of util-linux's tools to change the user."""
    debian = debian_of_its_own
    installed = debian.run(
        "apt-get", "install", "-y", "-qq", "--no-install-recommends", "openrc", "busybox-static",
        environment={"DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip
    assert installed.returncode == 0, installed.stdout
    for scripts in ("/etc/init.d", "/etc/runlevels/sysinit"):
        debian.path(f"{scripts}/hwclock.sh").unlink()  # Debian's, which wants a service that OpenRC has not
    loopback = debian.path("/etc/init.d/loopback")
    loopback.write_text(LOOPBACK)
    loopback.chmod(0o755)
    debian.path("/run/openrc").mkdir(parents=True, exist_ok=True)
    debian.path("/run/openrc/softlevel").touch()
    debian.path("/usr/bin/setpriv").unlink()
    debian.path("/usr/bin/su").unlink()
    debian.path("/usr/bin/su").symlink_to("/bin/busybox")
    return debian


def test_openrc_starts_the_agent_again_and_a_build_outlives_its_upgrade(
    alpine_like: DebianRoot, master: tuple[BuildMaster, str], node: RabbitMQNode
) -> None:
    """The same script as under systemd, in busybox's shell."""
    buildmaster, vhost = master
    url = node.vhost_url(vhost).replace(f":{node.password}@", "@")
    installed = alpine_like.run(*SCRIPT, "--name", "openrc", url, environment={"WORKER_AGENT_PASSWORD": node.password})
    assert installed.returncode == 0, installed.stdout
    assert "services by openrc" in installed.stdout
    assert "commands run as the agent's own user" in installed.stdout  # busybox cannot start them as another
    assert "debian>=11+os==linux" in installed.stdout
    build = buildmaster.finished(buildmaster.force("hello"), timeout=90)
    assert build.result == "SUCCESS", buildmaster.describe(build.row["buildrequestid"])
    assert buildmaster.output(build, "who").split()[0] == "worker-agent"

    request = buildmaster.force("slow")
    buildmaster.step_running(request, "wait", timeout=60)
    [first] = agents(alpine_like)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: agents(alpine_like) not in ([], [first]), 60, "OpenRC started it again")
    # OpenRC waits for two seconds (`respawn_delay`): the keeper has given the build back by then, and it begins again
    wait_for(lambda: len(buildmaster.builds(request)) == 2, 60, lambda: buildmaster.describe(request))
    wait_for(lambda: runs(buildmaster, request), 60, lambda: buildmaster.describe(request))
    upgraded = alpine_like.run(*SCRIPT)
    assert upgraded.returncode == 0, upgraded.stdout
    assert "restarted in place" in upgraded.stdout
    alpine_like.path("/var/tmp/go").touch()
    build = buildmaster.finished(request, timeout=90)
    assert build.result == "SUCCESS", buildmaster.describe(request)
    assert buildmaster.output(build, "wait") == "begun\nended\n"
    assert len(buildmaster.builds(request)) == 2

    removed = alpine_like.run(*SCRIPT[:3], "--uninstall")
    assert removed.returncode == 0, removed.stdout
    assert not alpine_like.path("/etc/init.d/worker-agent").exists()
    assert alpine_like.run("id", "worker-agent").returncode != 0
    wait_for(lambda: alpine_like.processes() == [], 60, "every process of the worker has ended")


def runs(buildmaster: BuildMaster, request: int) -> bool:
    """Its newest build is in its step, with the command's first line in the log."""
    build = buildmaster.builds(request)[-1]
    return build.result == "RUNNING" and "wait" in build.steps and "begun" in buildmaster.step_log(build, "wait")


def agents(system: DebianRoot) -> list[int]:
    """Main processes of agents that run in there; as the watching `supervise-daemon` names the agent, too, not that."""
    return [
        pid
        for pid in system.processes()
        if (words := _command_line(pid)) and "python" in words[0] and words[2:4] == ["-m", "worker_agent"]
    ]


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []  # it ended meanwhile
