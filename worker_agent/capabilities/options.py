"""What to detect, and what a person adds or takes away."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from contracts.errors import BadRequirement
from contracts.messages import Capability
from contracts.requirements.grammar import NAME
from contracts.requirements.sets import normal_name, parse
from worker_agent.agent.errands import Errands, Here
from worker_agent.keeper.second_user import SecondUser

_VERSION = re.compile(r"[!-~]{1,64}")


class BadCapability(ValueError):
    """A capability that a person gave cannot be used; the message says why and what to write."""


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """How to detect. Raises `BadCapability` for a fixed capability or a removal that cannot be read."""

    #: False: no probes, only what a person said
    auto: bool = True
    #: capabilities.d folders, later ones win; one that is missing is empty
    folders: tuple[Path, ...] = ()
    #: "name" or "name=version"
    fixed: tuple[str, ...] = ()
    #: names, or requirements such as "python<3": what meets one of them is taken away
    without: tuple[str, ...] = ()
    #: seconds for one probe that names no time of its own
    timeout: float = 2.0
    #: probes at a time; 0: four a CPU (most of a probe is waiting for the disk)
    parallel: int = 0
    #: where programs are looked for; None: PATH
    path: str | None = None
    #: whom probes run as; None: us
    user: SecondUser | None = None
    #: reads the files that tell a version
    errands: Errands = field(default_factory=Here, compare=False)

    def __post_init__(self) -> None:
        for text in self.fixed:
            fixed_capability(text)
        for text in self.without:
            try:
                parse(text)
            except BadRequirement as error:
                raise BadCapability(f"without {text!r}: {error}") from None

    @property
    def search_path(self) -> str:
        """The folders in which commands are looked up, as PATH."""
        return self.path if self.path is not None else os.environ.get("PATH", os.defpath)

    def removes(self, capability: Capability) -> bool:
        """`--without` takes it away."""
        return any(parse(text).satisfied_by([capability]) for text in self.without)


def fixed_capability(text: str) -> Capability:
    """`name` or `name=version` as a capability; raises `BadCapability`."""
    name, equals, version = (part.strip() for part in text.partition("="))
    if equals and not version:
        raise BadCapability(f"capability {text!r}: no version after '='; write {name}=1.0, or only {name}")
    return checked(name, version or None)


def checked(name: str, version: str | None) -> Capability:
    """A capability with its name in normal form; raises `BadCapability` for one that no requirement could name."""
    normal = normal_name(name)
    if not NAME.fullmatch(normal) or normal[-1] in ".-" or len(normal) > 128:
        raise BadCapability(
            f"capability {name!r}: a name begins with a letter, then letters, digits, '.', '-', '+', "
            "and ends in a letter, a digit or '+'; versions follow '=' (gtk=2.24)"
        )
    if version is not None and not _VERSION.fullmatch(version):
        raise BadCapability(
            f"capability {name}: version {version[:80]!r} must be 1 to 64 printable characters without spaces"
        )
    return Capability(name=normal, version=version)
