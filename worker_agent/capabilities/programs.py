"""Where programs are: PATH read once, patterns, other places; each program once, however many names it has."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cached_property

from worker_agent.capabilities.probe_files import Probe

#: Folders of pyenv, rbenv, asdf … hold scripts that stand for whichever version is chosen there; the versions
#: themselves are found through a probe's `paths`.
_SHIMS = re.compile(r"/\.?(pyenv|rbenv|nodenv|goenv|jenv|asdf|mise)/shims/?$")
#: Most programs of one probe that are looked at; a pattern that matches a whole folder is a mistake.
MATCHES_MAX = 40
_PATTERN = re.compile(r"[*?\[]")
_VARIABLE = re.compile(r"\$\{?\w+\}?")

#: On macOS these are stand-ins in /usr/bin that open a dialog for a person where no developer tools are installed.
_APPLE_STAND_INS = frozenset(
    [
        "python3", "pip3", "git", "gcc", "g++", "cc", "c++", "clang", "clang++", "make", "gnumake", "swift", "swiftc",
        "lldb", "ld", "m4", "flex", "bison", "yacc", "svn", "xcodebuild", "ar", "nm", "strip", "java", "javac",
    ]
)  # fmt: skip
_APPLE_TOOLS = ("/Library/Developer/CommandLineTools", "/Applications/Xcode.app")


class Programs:
    """What PATH offers, read once per detection. Folders that cannot be read count as empty."""

    def __init__(self, search_path: str, *, system: str = sys.platform) -> None:
        own = os.path.join(sys.prefix, "bin") if sys.prefix != sys.base_prefix else None
        self.folders = [
            folder
            for folder in dict.fromkeys(search_path.split(os.pathsep))
            # a relative folder means another place in each build; the agent's own environment is not for builds
            if os.path.isabs(folder) and folder.rstrip("/") != own
        ]
        self._system = system

    @cached_property
    def _names(self) -> dict[str, str]:
        """Name to the path that a shell would run, shims left out where the real program is on PATH as well."""
        found: dict[str, str] = {}
        for folder in self.folders:
            for name in _listed(folder):
                path = os.path.join(folder, name)
                if name not in found or (_SHIMS.search(os.path.dirname(found[name])) and not _SHIMS.search(folder)):
                    found[name] = path
        return found

    def find(self, probe: Probe) -> list[str]:
        """Paths of the programs that `probe` is about, each program once (links to it are left out)."""
        found: dict[str, str] = {}
        for path in self._candidates(probe):
            if len(found) >= MATCHES_MAX:
                break
            if os.path.isfile(path) and os.access(path, os.X_OK):
                found.setdefault(_identity(path, probe), path)
        return list(found.values())

    def is_stand_in(self, path: str) -> bool:
        """Whether running `path` would ask a person to install Apple's developer tools."""
        folder, name = os.path.split(path)
        if self._system != "darwin" or folder != "/usr/bin" or name not in _APPLE_STAND_INS:
            return False
        return not any(os.path.isdir(tools) for tools in _APPLE_TOOLS)

    def _candidates(self, probe: Probe) -> Iterator[str]:
        for name in dict.fromkeys((probe.words[0], *probe.programs)):
            if os.path.isabs(name):
                yield name
            elif _PATTERN.search(name):
                for other in sorted(self._names):
                    if fnmatchcase(other, name) and not (probe.python and self._is_shim(other)):
                        yield self._names[other]
            elif name in self._names and not (probe.python and self._is_shim(name)):
                yield self._names[name]
        for pattern in probe.paths:
            expanded = os.path.expanduser(os.path.expandvars(pattern))
            if os.path.isabs(expanded) and not _VARIABLE.search(expanded):
                yield from sorted(glob.glob(expanded))

    def _is_shim(self, name: str) -> bool:
        return _SHIMS.search(os.path.dirname(self._names[name])) is not None


def _identity(path: str, probe: Probe) -> str:
    """By which two paths are one program. A virtual environment's Python has modules of its own."""
    real = os.path.realpath(path)
    if probe.python:
        home = os.path.dirname(os.path.dirname(path))
        if os.path.exists(os.path.join(home, "pyvenv.cfg")):
            return f"{real} {home}"
    return real


def _listed(folder: str) -> Iterable[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return ()
