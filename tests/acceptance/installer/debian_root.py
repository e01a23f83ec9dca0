"""A fresh Debian in a folder, entered by chroot: a machine with nothing on it but its base system."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

#: pip settings of this machine that mean the same in there: which index, not which folder.
_PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout")
_BUNDLE = "/etc/ssl/machine-certificates.crt"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class DebianRoot:
    """`create`, `run`, `close`. Shares this machine's network, so the test's broker is at 127.0.0.1 in there, too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, suite: str | None = None) -> None:
        """Unpack the base system (minutes on a slow mirror). Needs root, debootstrap and apt's own mirror.

        `suite`: a release's code name; without it that of this machine.
        """
        mirror, own = _mirror()
        name = suite or own
        script = Path("/usr/share/debootstrap/scripts", name)
        if not script.exists():  # a newer release than this debootstrap knows
            script = script.with_name("sid")
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", name, str(self.folder), mirror, str(script)],
            check=True, stdout=subprocess.DEVNULL, timeout=900,
        )  # fmt: skip
        subprocess.run(["mount", "-t", "proc", "proc", str(self.folder / "proc")], check=True)
        resolver = Path("/etc/resolv.conf")
        if resolver.exists():
            (self.folder / "etc/resolv.conf").write_bytes(resolver.read_bytes())
        self._copy_pip_configuration()

    def close(self) -> None:
        """End what runs in there, and remove it."""
        for pid in self.processes():
            _kill(pid)
        subprocess.run(["umount", "--lazy", str(self.folder / "proc")], check=False)
        # never through a mount: what lies behind it is this machine's
        subprocess.run(["rm", "-rf", "--one-file-system", str(self.folder)], check=False)

    def run(
        self, *command: str, environment: Mapping[str, str] | None = None, input: str = "", timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in there, with an environment of its own; output and errors are in `stdout`."""
        return subprocess.run(
            ["chroot", str(self.folder), *command],
            env={"PATH": _PATH, "HOME": "/root", **(environment or {})},
            input=input, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def path(self, inside: str) -> Path:
        return self.folder / inside.lstrip("/")

    def processes(self) -> list[int]:
        """Processes whose root folder is this one."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._is_inside(entry)]

    def files(self) -> dict[str, tuple[int, int]]:
        """Every file with its size and modification time; what the kernel or a log makes is left out."""
        return dict(self._files())

    def _files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for parent, folders, names in os.walk(self.folder):
            inside = "/" + os.path.relpath(parent, self.folder)
            if inside in ("/proc", "/sys", "/dev", "/tmp"):  # in there
                folders.clear()
                continue
            for name in names:
                found = os.lstat(os.path.join(parent, name))
                yield f"{inside}/{name}", (found.st_size, found.st_mtime_ns)

    def _is_inside(self, process: Path) -> bool:
        try:
            return Path(os.readlink(process / "root")) == self.folder
        except OSError:
            return False  # it ended meanwhile

    def _copy_pip_configuration(self) -> None:
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, text=True, check=True
        )
        settings: dict[str, str] = {}
        for line in listed.stdout.splitlines():
            key, _, value = line.partition("=")
            settings[key.rpartition(".")[2]] = str(ast.literal_eval(value))
        lines = ["[global]"]
        for name in _PIP_SETTINGS:
            value = " ".join(word for word in settings.get(name, "").split() if not word.startswith("file:"))
            if value:
                lines.append(f"{name} = {value}")
        if "cert" in settings:
            self.path(_BUNDLE).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(settings["cert"], self.path(_BUNDLE))
            lines.append(f"cert = {_BUNDLE}")
        self.path("/etc/pip.conf").write_text("\n".join(lines) + "\n")


def _mirror() -> tuple[str, str]:
    """Mirror and code name of this Debian, from apt's own sources."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"],
        stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    wanted = release.get("VERSION_CODENAME", "").strip('"')
    for line in listed.splitlines():
        uri, _, suite = line.partition(" ")
        if suite == wanted:
            return uri, suite
    raise RuntimeError(f"apt knows no mirror of {wanted!r}; this test needs a Debian (or derivative) with apt sources")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return
