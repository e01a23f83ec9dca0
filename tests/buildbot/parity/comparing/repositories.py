"""Repositories to check out, and an ssh server that asks for a key. A tool that is missing is an error."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from contracts.testing.child import Child
from contracts.testing.rabbitmq.ports import free_ports
from tests.harness.waiting import wait_for

_AUTHOR = {
    "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "t",
    "GIT_COMMITTER_EMAIL": "t@example.org", "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z", "HGUSER": "t <t@example.org>",
}  # fmt: skip


def program(tool: str, package: str) -> str:
    """Where `tool` is. `make test` and `make test-long` install what they need (deploy/dev/ensure-tools.sh)."""
    found = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin")
    assert found, f"{tool} is not on this machine (Debian: apt-get install --no-install-recommends {package})"
    return found


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **_AUTHOR}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def git_repository(folder: Path) -> Path:
    """Some commits, a branch, a tag and a submodule."""
    part = folder / "part"
    for repository in (part, folder / "whole"):
        repository.mkdir(parents=True)
        run("git", "init", "-q", "-b", "main", folder=repository)
        for number in range(3):
            (repository / "file").write_text(f"{repository.name} {number}\n")
            run("git", "add", ".", folder=repository)
            run("git", "commit", "-qm", f"number {number}", folder=repository)
    whole = folder / "whole"
    run("git", "-c", "protocol.file.allow=always", "submodule", "add", "-q", f"file://{part}", "part", folder=whole)
    run("git", "commit", "-qm", "a part", folder=whole)
    run("git", "tag", "v1", folder=whole)
    run("git", "branch", "other", "HEAD~1", folder=whole)
    return whole


def hg_repository(folder: Path) -> Path:
    program("hg", "mercurial")
    folder.mkdir(parents=True)
    run("hg", "init", folder=folder)
    (folder / "file").write_text("hg\n")
    run("hg", "commit", "-A", "-m", "one", "-d", "0 0", folder=folder)
    return folder


def svn_repository(folder: Path) -> str:
    program("svn", "subversion")
    folder.mkdir(parents=True)
    run("svnadmin", "create", "repository", folder=folder)
    url = f"file://{folder}/repository"
    run("svn", "mkdir", "-q", "-m", "trunk", f"{url}/trunk", folder=folder)
    run("svn", "checkout", "-q", f"{url}/trunk", "copy", folder=folder)
    (folder / "copy" / "file").write_text("svn\n")
    run("svn", "add", "-q", "file", folder=folder / "copy")
    run("svn", "commit", "-q", "-m", "one", folder=folder / "copy")
    return f"{url}/trunk"


class SshServer:
    """OpenSSH on a free port of the loopback interface; lets in who has `key`."""

    def __init__(self, folder: Path) -> None:
        sshd = program("sshd", "openssh-server")
        folder.mkdir(parents=True, mode=0o700)
        for name in ("host", "key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name), folder=folder)
        self.key = (folder / "key").read_text()
        (folder / "authorized").write_text((folder / "key.pub").read_text())
        (self.port,) = free_ports(1)
        self.host_key = " ".join((folder / "host.pub").read_text().split()[:2])
        (folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nStrictModes no\n"
            f"AuthorizedKeysFile {folder}/authorized\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "UsePAM no\nPermitRootLogin yes\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where OpenSSH separates privileges
        self._log = folder / "log"
        self._child = Child([sshd, "-D", "-e", "-f", str(folder / "config")], output=self._log)
        wait_for(lambda: "listening" in self._log.read_text(), 60, lambda: self._log.read_text())

    def stop(self) -> None:
        self._child.end()
