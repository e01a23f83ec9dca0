"""A network namespace with one cable to this machine, whose packets can be dropped both ways. Needs root, Linux."""

from __future__ import annotations

import os
import subprocess
from itertools import count

_numbers = count(1)


class NamespaceError(Exception):
    """A namespace could not be made or changed; the text is what the tool said."""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NamespaceError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")


class Namespace:
    """`host` is this machine's address on the cable, `prefix` runs a program at the other end."""

    def __init__(self) -> None:
        number = next(_numbers)
        self.name = f"faults-{os.getpid()}-{number}"
        # A /30 of its own in the range for benchmarks (RFC 2544), which nobody routes.
        block = (os.getpid() * 8 + number) % 16384 * 4
        self.host = f"198.18.{block // 256}.{block % 256 + 1}"
        self._inside = f"198.18.{block // 256}.{block % 256 + 2}"
        self._cable = f"ft{os.getpid() % 100000}x{number}"
        self.prefix = ("ip", "netns", "exec", self.name)

    def __enter__(self) -> Namespace:
        _run("ip", "netns", "add", self.name)
        try:
            _run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "cable", "netns", self.name)
            _run("ip", "address", "add", f"{self.host}/30", "dev", self._cable)
            _run("ip", "link", "set", self._cable, "up")
            self._do("ip", "address", "add", f"{self._inside}/30", "dev", "cable")
            self._do("ip", "link", "set", "cable", "up")
            self._do("ip", "link", "set", "lo", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _run("ip", "netns", "delete", self.name)

    def cut(self) -> None:
        """Packets are dropped both ways; nobody is told."""
        for chain, way in (("INPUT", "-i"), ("OUTPUT", "-o")):
            self._do("iptables", "-A", chain, way, "cable", "-j", "DROP")

    def heal(self) -> None:
        self._do("iptables", "-F")

    def _do(self, *command: str) -> None:
        _run(*self.prefix, *command)
