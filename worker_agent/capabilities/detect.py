"""Find out what this machine can do; look again at what decides a claim.

`detect` runs every probe; whatever a probe does, it ends. `detect_late` runs those alone that ran out of time.
`remembered` runs none: it takes what was found before. `recheck` compares files with the evidence, and runs only the
probes of those that changed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import structlog

from contracts.requirements.sets import normal_name
from worker_agent.capabilities.commands import probe_command
from worker_agent.capabilities.inventory import Evidence, Failure, Inventory, Stamp, in_order
from worker_agent.capabilities.libraries import PKG_CONFIG, probe_libraries
from worker_agent.capabilities.machine import probe_machine
from worker_agent.capabilities.options import DetectOptions, fixed_capability
from worker_agent.capabilities.probe_files import TIMEOUT_MAX, Library, Probe, ProbeCatalogue, load
from worker_agent.capabilities.programs import Programs
from worker_agent.capabilities.pythons import probe_python

log = structlog.get_logger(__name__)

#: A probe that ran out of time is given so much more of it when it is run alone.
PATIENCE = 4.0
_NOT_OF_A_PROBE = ("system", "fixed")

Found = tuple[Sequence[Evidence], Sequence[Failure]]


async def detect(options: DetectOptions, previous: Inventory | None = None) -> Inventory:
    """Run every probe and add what people said. Never raises for what a probe or a file of capabilities.d does.

    With `previous`, what could not be probed in time on a busy machine is kept, while its file is the same.
    """
    began = time.monotonic()
    catalogue = await asyncio.to_thread(load, options.folders, built_in=options.auto)
    programs = Programs(options.search_path)
    limit = asyncio.Semaphore(options.parallel or 4 * (os.cpu_count() or 1))
    tasks: list[Awaitable[Found]] = []
    if options.auto:
        tasks.append(_guarded("machine", None, limit, lambda: asyncio.to_thread(probe_machine)))
    if catalogue.libraries:
        tasks.append(_libraries(catalogue.libraries, programs, options, limit))
    for name, probe, path in await asyncio.to_thread(_to_probe, catalogue, programs):
        tasks.append(_probe(name, probe, path, catalogue, programs, options, limit))
    evidence: list[Evidence] = []
    failures = _bad_files(catalogue)
    for found, failed in await asyncio.gather(*tasks):
        evidence += found
        failures += failed
    if previous is not None:
        evidence += _kept(previous, evidence, failures)
    return _inventory(evidence, failures, catalogue, options, began)


async def remembered(before: Inventory, options: DetectOptions) -> Inventory:
    """What an earlier process found (`findings.read`), what the machine itself says now, and what people say now.

    Runs no program.
    """
    began = time.monotonic()
    catalogue = await asyncio.to_thread(load, options.folders, built_in=options.auto)
    found, failed = await asyncio.to_thread(probe_machine) if options.auto else ((), ())
    known = {*catalogue.probes, *catalogue.libraries}
    evidence = [*(item for item in before.evidence if item.probe in known), *found]
    failures = [failure for failure in before.failures if failure.probe in known]
    return _inventory(evidence, [*failures, *failed, *_bad_files(catalogue)], catalogue, options, began)


async def detect_late(before: Inventory) -> Inventory:
    """Run the probes that ran out of time, one after the other, and with more patience; all else is as before."""
    began = time.monotonic()
    options = replace(before.options, timeout=before.options.timeout * PATIENCE, parallel=1)
    late = {(failure.probe, failure.path) for failure in before.failures if failure.late}
    catalogue = await asyncio.to_thread(load, options.folders, built_in=options.auto)
    programs = Programs(options.search_path)
    limit = asyncio.Semaphore(1)
    tasks = [
        _probe(name, _patient(catalogue.probes[name]), path, catalogue, programs, options, limit)
        for name, path in sorted((name, path or "") for name, path in late)
        if name in catalogue.probes
    ]
    again = set(late)
    if PKG_CONFIG in {name for name, _ in late}:
        tasks.append(_libraries(catalogue.libraries, programs, options, limit))
        again |= {(item.probe, item.path) for item in before.evidence if item.how == "pkg-config"}
        again |= {(failure.probe, failure.path) for failure in before.failures if failure.probe in catalogue.libraries}
    evidence: list[Evidence] = []
    failures: list[Failure] = []
    for found, failed in await asyncio.gather(*tasks):
        evidence += found
        failures += failed
    evidence += _kept(before, evidence, failures)
    evidence += [item for item in before.evidence if (item.probe, item.path) not in again and item.how != "fixed"]
    failures += [failure for failure in before.failures if (failure.probe, failure.path) not in again]
    return _inventory(evidence, failures, catalogue, before.options, began)


def _inventory(
    evidence: Iterable[Evidence],
    failures: Iterable[Failure],
    catalogue: ProbeCatalogue,
    options: DetectOptions,
    began: float,
) -> Inventory:
    """What probes found, but what people take away, and what people add."""
    probed = [item for item in evidence if normal_name(item.capability.name) not in catalogue.absent]
    return Inventory(
        evidence=in_order(
            item for item in (*probed, *_fixed(catalogue, options)) if not options.removes(item.capability)
        ),
        failures=tuple(failures),
        seconds=time.monotonic() - began,
        options=options,
    )


def _bad_files(catalogue: ProbeCatalogue) -> list[Failure]:
    return [
        Failure(probe="capabilities.d", reason=reason, when=time.time(), path=str(path))
        for path, reason in catalogue.errors
    ]


def _patient(probe: Probe) -> Probe:
    """Never above what a file may say."""
    longer = None if probe.timeout is None else min(probe.timeout * PATIENCE, TIMEOUT_MAX)
    return probe.model_copy(update={"timeout": longer})


def _libraries(
    libraries: Mapping[str, Library], programs: Programs, options: DetectOptions, limit: asyncio.Semaphore
) -> Awaitable[Found]:
    return _guarded(PKG_CONFIG, None, limit, lambda: probe_libraries(libraries, programs, options))


async def recheck(inventory: Inventory, names: Collection[str] | None = None) -> Inventory:
    """Look again at the evidence of the capabilities `names` (None: of all); cheap where nothing changed.

    A file that has gone takes its capabilities with it; one that changed is probed again. What was lost is in
    `gone`, with its reason in `failures`.
    """
    wanted = None if names is None else {normal_name(name) for name in names}
    concerned = [
        item
        for item in inventory.evidence
        if item.path is not None
        and item.how not in _NOT_OF_A_PROBE
        and (wanted is None or item.capability.name in wanted)
    ]
    stamps = {item.path: Stamp.of(item.path) for item in concerned if item.path is not None}
    changed = {item.path for item in concerned if item.path is not None and stamps[item.path] != item.stamp}
    if not changed:
        return replace(inventory, gone=())
    now = time.time()
    paths = {path for path in changed if stamps[path] is not None}
    again = await _again(inventory, paths) if paths else Inventory()
    before = [item for item in inventory.evidence if item.path in changed and item.how not in _NOT_OF_A_PROBE]
    held = [item for item in inventory.evidence if item not in before]
    evidence = in_order([*held, *again.evidence])
    left = {(item.capability, item.path) for item in evidence}
    gone = tuple(item for item in before if (item.capability, item.path) not in left)
    missing = tuple(
        Failure(probe=name, reason="has gone since it was found", when=now, path=path)
        for name, path in sorted(
            {(item.probe, item.path or "") for item in before if stamps.get(item.path or "") is None}
        )
    )
    for item in gone:
        log.warning("capability_gone", name=item.capability.name, version=item.capability.version, path=item.path)
    kept = tuple(failure for failure in inventory.failures if failure.path not in changed)
    return replace(inventory, evidence=evidence, failures=(*kept, *missing, *again.failures), gone=gone)


async def _again(inventory: Inventory, paths: Collection[str]) -> Inventory:
    """Run the probes of the programs and libraries at `paths` only."""
    options = inventory.options
    catalogue = await asyncio.to_thread(load, options.folders, built_in=options.auto)
    programs = Programs(options.search_path)
    limit = asyncio.Semaphore(options.parallel or 4 * (os.cpu_count() or 1))
    known = {(item.probe, item.path, item.how) for item in inventory.evidence if item.path in paths}
    tasks = [
        _probe(name, catalogue.probes[name], path, catalogue, programs, options, limit)
        for name, path in sorted({(name, path) for name, path, how in known if path and how != "pkg-config"})
        if name in catalogue.probes
    ]
    libraries = {name for name, _, how in known if how == "pkg-config"} & set(catalogue.libraries)
    if libraries:
        chosen = {name: catalogue.libraries[name] for name in libraries}
        tasks.append(_libraries(chosen, programs, options, limit))
    evidence: list[Evidence] = []
    failures: list[Failure] = []
    for found, failed in await asyncio.gather(*tasks):
        evidence += [
            item
            for item in found
            if item.path in paths
            and item.capability.name not in catalogue.absent
            and not options.removes(item.capability)
        ]
        failures += failed
    evidence += _kept(
        replace(inventory, evidence=tuple(item for item in inventory.evidence if item.path in paths)),
        evidence,
        failures,
    )
    return Inventory(evidence=tuple(evidence), failures=tuple(failures))


def _to_probe(catalogue: ProbeCatalogue, programs: Programs) -> list[tuple[str, Probe, str]]:
    """(probe, its table, path of a program that is there); the slow starters first, so that they end in time."""
    system = {"darwin": "macos"}.get(os.uname().sysname.lower(), os.uname().sysname.lower())
    found = [
        (name, probe, path)
        for name, probe in catalogue.probes.items()
        if not probe.systems or system in probe.systems
        for path in programs.find(probe)
    ]
    return sorted(found, key=lambda entry: -(entry[1].timeout or 0))


def _probe(
    name: str,
    probe: Probe,
    path: str,
    catalogue: ProbeCatalogue,
    programs: Programs,
    options: DetectOptions,
    limit: asyncio.Semaphore,
) -> Awaitable[Found]:
    if programs.is_stand_in(path):
        reason = "stands in for Apple's developer tools, which are not installed (xcode-select --install)"
        return _answer(((), (Failure(probe=name, reason=reason, when=time.time(), path=path),)))
    if probe.python:
        return _guarded(name, path, limit, lambda: probe_python(name, probe, path, catalogue.modules, options))
    return _guarded(name, path, limit, lambda: probe_command(name, probe, path, options))


async def _answer(found: Found) -> Found:
    return found


async def _guarded(
    name: str, path: str | None, limit: asyncio.Semaphore, probe: Callable[[], Awaitable[Found]]
) -> Found:
    """The probe's answer; an error of ours in it is its failure, and nobody else's."""
    async with limit:
        try:
            return await probe()
        except Exception as error:
            reason = f"could not be probed: {type(error).__name__}: {error}"
            log.error("probe_failed", probe=name, path=path, reason=reason)
            return (), (Failure(probe=name, reason=reason, when=time.time(), path=path),)


def _kept(previous: Inventory, evidence: Iterable[Evidence], failures: Iterable[Failure]) -> list[Evidence]:
    """Earlier evidence of programs that this time only took too long: a busy machine has not lost its compiler."""
    late = {(failure.probe, failure.path) for failure in failures if failure.late}
    known = {(item.capability, item.path) for item in evidence}
    return [
        item
        for item in previous.evidence
        if (item.probe, item.path) in late
        and item.stamp is not None
        and item.path is not None
        and item.stamp == Stamp.of(item.path)
        and (item.capability, item.path) not in known
    ]


def _fixed(catalogue: ProbeCatalogue, options: DetectOptions) -> list[Evidence]:
    now = time.time()
    said = [(capability, str(path), "") for capability, path in catalogue.fixed]
    said += [(fixed_capability(text), None, f"--capability {text}") for text in options.fixed]  # type: ignore[misc]
    return [
        Evidence(capability=capability, probe="fixed", how="fixed", when=now, path=path, command=command)
        for capability, path, command in said
    ]
