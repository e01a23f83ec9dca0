"""C libraries that pkg-config knows: its folders are asked for once, the `.pc` files are read here."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from worker_agent.capabilities.commands import clean, tidy_version
from worker_agent.capabilities.inventory import Evidence, Failure, Stamp
from worker_agent.capabilities.options import BadCapability, DetectOptions, checked
from worker_agent.capabilities.probe_files import Library, Probe
from worker_agent.capabilities.programs import Programs
from worker_agent.capabilities.run import run, scrubbed_environment

#: Larger files are none of pkg-config's …
_FILE_MAX = 256 * 1024
#: … and no header that tells a version (freetype.h has 172 kB, the version stands at its end).
_HEADER_MAX = 1024 * 1024
_ASSIGNMENT = re.compile(r"^([A-Za-z0-9_.]+)\s*=\s*(.*)$", re.MULTILINE)
_VERSION = re.compile(r"^Version:[ \t]*(.*)$", re.MULTILINE)
_CFLAGS = re.compile(r"^C[Ff]lags:[ \t]*(.*)$", re.MULTILINE)
_INCLUDE = re.compile(r"-I\s*(\S+)")
_REFERENCE = re.compile(r"\$\{([A-Za-z0-9_.]+)\}")
#: The name under which pkg-config's own failures are told.
PKG_CONFIG = "pkg-config"
_PKG_CONFIG = Probe(command="pkg-config", programs=("pkgconf",))


async def probe_libraries(
    libraries: Mapping[str, Library], programs: Programs, options: DetectOptions
) -> tuple[Sequence[Evidence], Sequence[Failure]]:
    """Every configured library; nothing at all where there is no pkg-config, because builds find nothing either."""
    found = programs.find(_PKG_CONFIG)
    if not found or programs.is_stand_in(found[0]):
        return (), ()
    environment = scrubbed_environment(options.search_path, user=options.user)
    command = [found[0], "--variable", "pc_path", "pkg-config"]
    ran = await run(command, timeout=options.timeout, environment=environment, user=options.user)
    when = time.time()
    if ran.problem or ran.code != 0 or not ran.output.strip():
        reason = ran.problem or f"does not say where it looks (exit code {ran.code})"
        return (), (Failure(probe=PKG_CONFIG, reason=reason, when=when, path=found[0], late=ran.late),)
    built_in = environment.get("PKG_CONFIG_LIBDIR") or ran.output.strip()
    folders = [*environment.get("PKG_CONFIG_PATH", "").split(os.pathsep), *built_in.split(os.pathsep)]
    evidence: list[Evidence] = []
    failures: list[Failure] = []
    for name, library in libraries.items():
        for module in library.modules:
            path = _pc_file(module, folders)
            if path is None:
                continue
            try:
                version, line = _version(path, library, options)
                evidence.append(
                    Evidence(
                        capability=checked(library.name or name, version or None),
                        probe=name,
                        how="pkg-config",
                        when=when,
                        path=str(path),
                        command=f"pkg-config --modversion {module}",
                        line=line,
                        stamp=Stamp.of(path),
                    )
                )
            except (OSError, BadCapability) as error:
                failures.append(Failure(probe=name, reason=str(error), when=when, path=str(path)))
    return evidence, failures


def _pc_file(module: str, folders: Sequence[str]) -> Path | None:
    for folder in folders:
        path = Path(folder, f"{module}.pc")
        if folder and path.is_file():
            return path
    return None


def _version(path: Path, library: Library, options: DetectOptions) -> tuple[str, str]:
    """Version and the line it stands in; both empty where nothing tells the library's own version."""
    if not library.versioned:
        return "", ""
    text = str(options.errands.do("read", str(path), _FILE_MAX))
    if library.header:
        return _version_of_header(text, library, options)
    match = _VERSION.search(text)
    if match is None:
        return "", ""
    version = _filled_in(match[1], text)
    return tidy_version(version.split()[0] if version.split() else ""), clean(match[0])


def _version_of_header(text: str, library: Library, options: DetectOptions) -> tuple[str, str]:
    """What the header says that a compiler would read. `text`: of the `.pc` file."""
    cflags = _CFLAGS.search(text)
    folders = [*_INCLUDE.findall(cflags[1] if cflags else ""), "${includedir}"]
    for folder in folders:
        path = Path(_filled_in(folder, text), library.header)
        if not path.is_file():
            continue
        match = re.search(library.header_version, str(options.errands.do("read", str(path), _HEADER_MAX)))
        if match is not None:
            return tidy_version(".".join(match.groups())), clean(f"{path}: {match[0]}")
    return "", ""


def _filled_in(words: str, text: str) -> str:
    """With the values of the `.pc` file's variables, which may refer to one another."""
    variables = dict(_ASSIGNMENT.findall(text))
    for _ in range(5):  # as deep as anyone nests them; a circle ends here, too
        words = _REFERENCE.sub(lambda reference: variables.get(reference[1], ""), words)
    return words
