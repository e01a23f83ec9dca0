"""A Debian root with its own systemd as process 1: in namespaces of its own, on this machine's network."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.acceptance.installer.debian_root import DebianRoot

#: $0: the root. Kernel settings are read-only in there; consoles are this machine's, so no login is offered on them.
_BOOT = """
set -e
mount --make-rprivate /
umount --lazy "$0/proc" || true
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount --bind "$0/proc/sys" "$0/proc/sys"
mount -o remount,ro,bind "$0/proc/sys"
mount -t sysfs -o ro sysfs "$0/sys"
mount -t tmpfs tmpfs "$0/run"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$0/sys/fs/cgroup"
else
    mount -t tmpfs tmpfs "$0/sys/fs/cgroup"
    mkdir "$0/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$0/sys/fs/cgroup/systemd"
fi
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$0" /sbin/init --system
"""
_GROUP = "buildbot-installer-test"


class BootedDebian:
    """`start`, `run`, `stop` of a machine with systemd. What is in the root stays there."""

    def __init__(self, root: DebianRoot) -> None:
        self.root = root
        self._outer: subprocess.Popen[bytes] | None = None
        version_2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        self._group = Path("/sys/fs/cgroup" if version_2 else "/sys/fs/cgroup/systemd") / _GROUP

    def start(self, timeout: float = 60.0) -> None:
        """Install systemd into the root, boot it, wait until it runs."""
        installed = self.root.run(
            "apt-get", "install", "-y", "-qq", "--no-install-recommends", "systemd-sysv",
            environment={"DEBIAN_FRONTEND": "noninteractive"},
        )  # fmt: skip
        assert installed.returncode == 0, installed.stdout
        for unit in ("getty.target", "console-getty.service", "systemd-logind.service"):
            mask = self.root.path(f"/etc/systemd/system/{unit}")
            if not mask.is_symlink():
                mask.symlink_to("/dev/null")
        self._group.mkdir(exist_ok=True)
        self._outer = subprocess.Popen(
            ["sh", "-c", 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"', "sh", str(self._group),
             "unshare", "--pid", "--fork", "--kill-child", "--mount", "--cgroup", "--uts", "--ipc",
             "sh", "-c", _BOOT, str(self.root.folder)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + timeout
        state = ""
        while state not in ("running", "degraded"):
            assert time.monotonic() < deadline, f"systemd is not up within {timeout:g} s: {state!r}"
            time.sleep(0.2)
            if self._init() is not None:
                state = self.run("systemctl", "is-system-running").stdout.strip()

    def run(
        self, *command: str, environment: Mapping[str, str] | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in there, as its root; output and errors are in `stdout`."""
        init = self._init()
        assert init is not None, "systemd does not run"
        return subprocess.run(
            ["nsenter", "-t", str(init), "-m", "-p", "-u", "-i", "-C", "chroot", str(self.root.folder), *command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **(environment or {})},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
            check=False,
        )  # fmt: skip

    def stop(self) -> None:
        """End it with all that runs in it."""
        init = self._init()
        if init is not None:
            os.kill(init, signal.SIGKILL)  # the end of a namespace's process 1 is the end of all in it
        if self._outer is not None:
            self._outer.wait(timeout=20)
            self._outer = None
        for group in sorted(self._group.rglob("*"), key=lambda path: -len(path.parts)):
            if group.is_dir():
                group.rmdir()
        if self._group.exists():
            self._group.rmdir()

    def _init(self) -> int | None:
        """The process id, seen from here, of the systemd in there."""
        if self._outer is None:
            return None
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        return None
