"""Probes, libraries, modules and fixed capabilities from TOML files: those of this package, then capabilities.d.

[probe.gcc]                         one probe; its name is the capability's unless `name` says otherwise
command = "gcc -dumpfullversion"    the program is looked for on PATH
version = '([0-9.]+)'               group 1 is the version, the whole match if there is no group; "" for none

[library.gtk]                       found through pkg-config
modules = ["gtk+-3.0", "gtk4"]

[module.wx]                         looked for in every Python on the machine
import = "wx"

[capabilities]                      said by a person
license-server = "2.1"
fast-disk = true                    without a version; false: not here, whatever a probe finds
sdk = ["9", "10"]                   several versions
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from contracts.messages import Capability
from worker_agent.capabilities.options import BadCapability, checked

tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

#: A version as most programs print it: two numbers at least.
DEFAULT_VERSION = r"([0-9]+(?:\.[0-9]+)+[0-9A-Za-z._+~-]*)"
#: Longest time of a probe, in seconds.
TIMEOUT_MAX = 60.0
#: Files that come with this package.
BUILT_IN = Path(__file__).parent


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Probe(_Table):
    """One command that tells whether a capability is there, and its version."""

    #: the capability's name; empty: the table's
    name: str = ""
    #: program and arguments, split as a shell would, without running one
    command: str = Field(min_length=1)
    #: regular expression; empty: the capability has no version
    version: str = DEFAULT_VERSION
    #: other names of the program on PATH, with * ? [] (python2.*); all that are found are probed
    programs: tuple[str, ...] = ()
    #: other places, absolute, with * ? [], ~ and $VARIABLE (~/.pyenv/versions/*/bin/python)
    paths: tuple[str, ...] = ()
    #: a file beside the program (seen from its real folder) that tells the version without a process: slow starters;
    #: where it is missing, the command is run
    file: str = ""
    #: regular expression for that file
    file_version: str = DEFAULT_VERSION
    #: exit codes of a success
    exit: tuple[int, ...] = (0,)
    #: seconds; None: the default
    timeout: Annotated[float, Field(gt=0, le=TIMEOUT_MAX)] | None = None
    #: more variables for this probe
    environment: dict[str, str] = {}
    #: systems (`os`) on which to probe; empty: all
    systems: tuple[str, ...] = ()
    #: probe again before every claim, because the program's file says nothing about it (a daemon)
    volatile: bool = False
    #: the program is a Python: ask it for its version and the configured modules
    python: bool = False
    #: do not probe (a user's file turns a built-in probe off)
    disabled: bool = False

    @field_validator("version", "file_version")
    @classmethod
    def _a_regular_expression(cls, text: str) -> str:
        return _expression(text)

    @field_validator("command")
    @classmethod
    def _can_be_split(cls, text: str) -> str:
        if not shlex.split(text):
            raise ValueError("names no program")
        return text

    @property
    def words(self) -> list[str]:
        """The command, as its process gets it."""
        return shlex.split(self.command)


class Library(_Table):
    """A C library that pkg-config knows; each module that is installed is one version of it."""

    name: str = ""
    modules: tuple[str, ...] = Field(min_length=1)
    #: False: what its `.pc` file calls a version is not the library's (gl: of the interface); it has none
    versioned: bool = True
    #: a header that tells the version where the `.pc` file has another number (freetype: libtool's); seen from the
    #: folders that the `.pc` file gives to the compiler. Without that header the version is unknown.
    header: str = ""
    #: regular expression for it; its groups, joined by full stops, are the version
    header_version: str = ""

    @field_validator("header_version")
    @classmethod
    def _a_regular_expression(cls, text: str) -> str:
        return _expression(text)

    @model_validator(mode="after")
    def _a_header_has_a_version(self) -> Library:
        if self.header and re.compile(self.header_version).groups == 0:
            raise ValueError("`header` wants a `header_version` with a group")
        return self


class Module(_Table):
    """A Python module. It is really imported: one that is there but broken is a failure, not a capability."""

    name: str = ""
    #: takes long to import: only look for it
    heavy: bool = False
    import_: str = Field(alias="import", pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")


class _File(_Table):
    probe: dict[str, Probe] = {}
    library: dict[str, Library] = {}
    module: dict[str, Module] = {}
    capabilities: dict[str, bool | str | list[str]] = {}

    @model_validator(mode="after")
    def _names_can_be_asked_for(self) -> _File:
        tables: list[Mapping[str, Any]] = [self.probe, self.library, self.module]
        for table in tables:
            for name, entry in table.items():
                checked(entry.name or name, None)
        return self


@dataclass(frozen=True, kw_only=True)
class ProbeCatalogue:
    """All that is probed, after every file. Keys are the tables' names."""

    probes: Mapping[str, Probe] = field(default_factory=dict)
    libraries: Mapping[str, Library] = field(default_factory=dict)
    modules: Mapping[str, Module] = field(default_factory=dict)
    #: (capability, file that says so)
    fixed: tuple[tuple[Capability, Path], ...] = ()
    #: names that a file says are not here
    absent: frozenset[str] = frozenset()
    #: (file, reason): a file with an error is left out as a whole, the others count
    errors: tuple[tuple[Path, str], ...] = ()


def load(folders: Iterable[Path], *, built_in: bool = True) -> ProbeCatalogue:
    """Read this package's files and all `*.toml` of `folders`, in the order of their names; later ones win."""
    files, errors = _read_all(folders)
    if built_in:
        files = [*_built_in(), *files]
    probes: dict[str, Probe] = {}
    libraries: dict[str, Library] = {}
    modules: dict[str, Module] = {}
    fixed: dict[str, list[tuple[Capability, Path]]] = {}
    absent: set[str] = set()
    for path, file in files:
        probes.update(file.probe)
        libraries.update(file.library)
        modules.update(file.module)
        for name, value in file.capabilities.items():
            try:
                entries = _fixed(name, value)
            except BadCapability as error:
                errors.append((path, str(error)))
                continue
            if entries is None:
                absent.add(checked(name, None).name)
                fixed.pop(name, None)
            else:
                absent.discard(checked(name, None).name)
                fixed[name] = [(entry, path) for entry in entries]
    return ProbeCatalogue(
        probes={name: probe for name, probe in probes.items() if not probe.disabled},
        libraries=libraries,
        modules=modules,
        fixed=tuple(entry for entries in fixed.values() for entry in entries),
        absent=frozenset(absent),
        errors=tuple(errors),
    )


def _read_all(folders: Iterable[Path]) -> tuple[list[tuple[Path, _File]], list[tuple[Path, str]]]:
    """What can be read of them, and for the rest why not."""
    files: list[tuple[Path, _File]] = []
    errors: list[tuple[Path, str]] = []
    for folder in folders:
        try:
            found = sorted(folder.expanduser().glob("*.toml"))
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
            errors.append((folder, f"cannot be listed: {error}"))
            continue
        for path in found:
            try:
                files.append((path, _read(path)))
            except (OSError, ValueError) as error:
                errors.append((path, _reason(error)))
    return files, errors


@lru_cache(maxsize=1)
def _built_in() -> tuple[tuple[Path, _File], ...]:
    return tuple((path, _read(path)) for path in sorted(BUILT_IN.glob("*.toml")))


def _read(path: Path) -> _File:
    return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


def _fixed(name: str, value: bool | str | list[str]) -> list[Capability] | None:
    """The capabilities of one line; None: it is said not to be here."""
    if isinstance(value, bool):
        return [checked(name, None)] if value else None
    return [checked(name, version) for version in ([value] if isinstance(value, str) else value)]


def _reason(error: Exception) -> str:
    """What is wrong with a file, and where in it."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else first["msg"]
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return f"not TOML: {error}"
