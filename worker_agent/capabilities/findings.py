"""What was found is kept on disk, so that an agent that starts again takes work for it at once.

A fact counts as long as the file that it was found by is the same (path, size, time); that is looked at when it is
read. What the machine itself says and what people say is found anew each time: that costs no process.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from worker_agent.capabilities.inventory import Evidence, Failure, Inventory, Stamp
from worker_agent.capabilities.options import DetectOptions
from worker_agent.capabilities.run import scrubbed_environment
from worker_agent.keeper.files import read_text
from worker_agent.state_files import write_atomically

log = structlog.get_logger(__name__)

#: Changed with the meaning of what is kept, and with what the probes of this package find.
FORMAT = 1


class _File(BaseModel):
    model_config = ConfigDict(frozen=True)

    format: int
    #: where programs were looked for, and whether by this package's own probes
    search_path: str
    auto: bool
    #: digest of what a probe saw of the environment
    environment: str
    evidence: tuple[Evidence, ...]
    failures: tuple[Failure, ...]


_FILE = TypeAdapter(_File)


def dump(inventory: Inventory) -> str:
    """The file's text. Facts of files whose names are no UTF-8 are left out: JSON has no room for those."""
    options = inventory.options
    kept = _File(
        format=FORMAT,
        search_path=_readable(options.search_path),
        auto=options.auto,
        environment=_seen(options),
        evidence=tuple(item for item in inventory.evidence if item.how not in ("system", "fixed") and _is_text(item)),
        failures=tuple(failure for failure in inventory.failures if _is_text(failure)),
    )
    return kept.model_dump_json() + "\n"


def load(text: str, options: DetectOptions) -> Inventory | None:
    """What still counts; None: found under other settings. Raises ValueError for what `dump` did not write.

    Costs one look at each file, and runs nothing.
    """
    try:
        fields = json.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        return None
    try:
        kept = _FILE.validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    now = (_readable(options.search_path), options.auto, _seen(options))
    if (kept.search_path, kept.auto, kept.environment) != now:
        return None
    stamps = {item.path: Stamp.of(item.path) for item in kept.evidence if item.path is not None}
    return Inventory(
        evidence=tuple(
            item
            for item in kept.evidence
            if item.path is not None
            and stamps[item.path] is not None
            and (item.stamp is None or item.stamp == stamps[item.path])
        ),
        failures=kept.failures,
        options=options,
    )


def read(path: Path, options: DetectOptions) -> Inventory | None:
    """None: nothing is remembered that could be used; that costs time only."""
    try:
        return load(read_text(path), options)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("findings_unreadable", path=str(path), reason=str(error), remedy="the machine is probed anew")
        return None


def write(path: Path, inventory: Inventory) -> None:
    """For the next start; where the disk takes nothing, that probes first."""
    try:
        write_atomically(path, dump(inventory))
    except OSError as error:
        log.warning("findings_not_written", path=str(path), reason=str(error), effect="the next start probes anew")


def _seen(options: DetectOptions) -> str:
    """Digest of the user whom probes run as, and of what they see: it says where that user's programs are."""
    environment = scrubbed_environment(options.search_path, user=options.user)
    who = "" if options.user is None else options.user.name
    return hashlib.sha256(json.dumps([who, environment], sort_keys=True).encode()).hexdigest()


def _is_text(item: Evidence | Failure) -> bool:
    said = (item.path or "", getattr(item, "command", ""), getattr(item, "line", ""), getattr(item, "reason", ""))
    return all(_readable(text) == text for text in said)


def _readable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
