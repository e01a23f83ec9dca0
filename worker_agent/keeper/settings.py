"""What a keeper is told when it starts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class KeeperSettings:
    """Bounds and times of a keeper; bytes and seconds."""

    #: unstored journal above this stops the reading of pipes until Buildbot has stored some of it
    spool_max: int = 256 * MIB
    #: the whole journal on disk; above it the oldest stored segments go, and with them replay from the start
    journal_max: int = 2048 * MIB
    #: Without a main process for this long the keeper kills all and leaves. A bridge gives a silent agent up after 5 s
    #: (GRACE), so much longer only means two runs side by side; 10 s is what a service manager needs for a restart.
    orphan_grace: float = 10.0
    #: The same after a planned restart (`Keeper.detach`): an upgrade that installs packages takes longer.
    detach_grace: float = 120.0
    #: strict fencing: everything is killed when `contact` was not called for this long; None: never
    fencing: float | None = None
    #: encoding of arguments and text, as Buildbot's worker's `unicode_encoding`
    encoding: str = "utf-8"
    #: user whom commands run as, by a process of their own; empty: the keeper's own, in the keeper
    run_as: str = ""


@dataclass(frozen=True, kw_only=True)
class KeeperConfig:
    """One session's keeper. `basedir`: of the slot; builds run in `basedir/builddir`."""

    session: str
    folder: str
    basedir: str
    builddir: str
    settings: KeeperSettings = field(default_factory=KeeperSettings)

    @property
    def builder(self) -> str:
        return os.path.join(self.basedir, self.builddir)

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> KeeperConfig:
        return cls.of(json.loads(text))

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> KeeperConfig:
        """From what `dataclasses.asdict` made."""
        return cls(**{**fields, "settings": KeeperSettings(**fields["settings"])})
