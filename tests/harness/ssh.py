"""OpenSSH for tests: a server of their own on loopback, and clients with their own keys, hosts and configuration."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil

from contracts.testing.child import Child
from contracts.testing.rabbitmq.ports import free_ports
from tests.harness.environment import program_environment
from tests.harness.waiting import wait_for

#: As it stands in the clients' configuration and known hosts.
HOST = "ci.test"


def program(name: str) -> str:
    """Its path, also where only an administrator's shell looks. A missing one is an error, as `make test` says it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert found is not None, f"{name} is missing: `make tools` installs it"
    return found


def make_key(path: Path) -> str:
    """A key without a passphrase; its public half."""
    path.unlink(missing_ok=True)
    subprocess.run(
        [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path.with_name(f"{path.name}.pub").read_text()


class SSHServer:
    """sshd, which lets this user in with the keys of `authorized`, from `start` to `stop`."""

    def __init__(self, folder: Path, listens: str = "127.0.0.1") -> None:
        folder.mkdir(parents=True, mode=0o700)
        self._folder = folder
        self.authorized = folder / "authorized_keys"
        self.authorized.touch(mode=0o600)
        (self.port,) = free_ports(1)
        self._child: Child | None = None
        self.new_host_key()
        (folder / "config").write_text(
            f'Port {self.port}\nListenAddress {listens}\nHostKey "{folder}/host"\nPidFile none\nStrictModes no\n'
            f'AuthorizedKeysFile "{self.authorized}"\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n'
            "UsePAM no\nPermitRootLogin yes\nMaxStartups 100\nLogLevel VERBOSE\n"
        )
        self.set_environment()

    def set_environment(self, **variables: str) -> None:
        """Of all that it runs, from its next start on.

        A shell within another does not read the startup files of whoever runs the tests (bash(1), "Invoked by remote
        shell daemon"): pyenv's lines in one took as long as the whole login.
        """
        config = self._folder / "config"
        lines = [line for line in config.read_text().splitlines() if not line.startswith("SetEnv ")]
        words = " ".join(f'"{name}={value}"' for name, value in {"SHLVL": "2", **variables}.items())
        config.write_text("\n".join([*lines, f"SetEnv {words}", ""]))

    def new_host_key(self) -> None:
        """From its next start on."""
        self.host_key = make_key(self._folder / "host")

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where OpenSSH separates privileges
        before = len(self.log())
        # of a service manager: none of this process's own settings
        environment = {"PATH": program_environment()["PATH"]}
        command = [program("sshd"), "-D", "-e", "-f", str(self._folder / "config")]
        self._child = Child(command, output=self._folder / "log", environment=environment)
        wait_for(lambda: "listening" in self.log()[before:], 60, lambda: f"sshd listens: {self.log()}")

    def stop(self) -> None:
        """With all connections, as a machine that goes down."""
        if self._child is not None:
            child, self._child = self._child, None
            sessions = self.sessions(child)
            child.end()
            for session in sessions:
                _kill(session)

    def cut(self) -> int:
        """Kill the processes of all connections; how many there were."""
        assert self._child is not None
        sessions = [process for process in self.sessions(self._child) if process.name().startswith("sshd")]
        for session in sessions:
            _kill(session)
        return len(sessions)

    @staticmethod
    def sessions(child: Child) -> list[psutil.Process]:
        return psutil.Process(child.pid).children(recursive=True)

    def log(self) -> str:
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""


class SSHClient:
    """A user's ssh: `folder` has its key, known hosts, configuration, and an `ssh` that reads this configuration."""

    def __init__(self, folder: Path, server: SSHServer, port: int | None = None, host: str = "127.0.0.1") -> None:
        """`port`: of something before the server; `host`: the server's machine as this one sees it."""
        folder.mkdir(parents=True)
        self._folder = folder
        self._server = server
        self.public = folder / "id_ed25519.pub"
        make_key(folder / "id_ed25519")
        self.know_host()
        (folder / "config").write_text(
            f"Host {HOST} builder*\n  HostName {host}\n  Port {port or server.port}\n  HostKeyAlias {HOST}\n"
            f"  User {getpass.getuser()}\n  IdentityFile {folder}/id_ed25519\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {folder}/known_hosts\n  GlobalKnownHostsFile /dev/null\n"
        )
        wrapper = folder / "ssh"
        wrapper.write_text(f'#!/bin/sh\nexec {program("ssh")} -F "{folder}/config" "$@"\n')
        wrapper.chmod(0o755)

    def know_host(self) -> None:
        """The server's host key, as it is now."""
        (self._folder / "known_hosts").write_text(f"{HOST} {self._server.host_key}")

    @property
    def environment(self) -> dict[str, str]:
        """For programs that run `ssh`."""
        return {"PATH": f"{self._folder}:{program_environment()['PATH']}"}

    def processes(self) -> list[psutil.Process]:
        """Those of `ssh` that run with this configuration."""
        found = []
        for process in psutil.process_iter():
            try:
                if f"{self._folder}/config" in process.cmdline():
                    found.append(process)
            except psutil.Error:
                continue
        return found


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)
