"""Claims that the master has not done with, on disk: a master that was killed finds its sessions again (rule 11)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import structlog

from contracts.codec import Wire
from master_bridge.link.errors import BadSettings
from master_bridge.post_office.actions import ForgetClaim, KeepClaim

log = structlog.get_logger(__name__)

#: In the master's folder.
CLAIMS_FILE = "agents-claims.sqlite"


class KeptClaims:
    """One file. What is written is there after the process was killed; after a loss of power the last of it may not be.

    A disk that takes nothing costs no agent its connection: it is told once, and a restart would find less.
    """

    def __init__(self, path: Path) -> None:
        """Raises `BadSettings` for a file that cannot be used."""
        self._full = False
        try:
            self._file = sqlite3.connect(path, isolation_level=None)
            path.chmod(0o600)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS claims (delivery INTEGER PRIMARY KEY, user TEXT, type TEXT, "
                "content_type TEXT, headers TEXT, body BLOB)"
            )
        except (sqlite3.Error, OSError) as error:
            raise BadSettings(f"{path} cannot be used: {error}") from None

    def found(self) -> tuple[KeepClaim, ...]:
        """Those of a former process, in their order."""
        rows = self._file.execute(
            "SELECT delivery, user, type, content_type, headers, body FROM claims ORDER BY delivery"
        )
        return tuple(
            KeepClaim(
                delivery=delivery,
                user=user,
                wire=Wire(type=kind, content_type=content_type, headers=json.loads(headers), body=body),
            )
            for delivery, user, kind, content_type, headers, body in rows
        )

    def keep(self, claim: KeepClaim) -> None:
        wire = claim.wire
        row = (claim.delivery, claim.user, wire.type, wire.content_type, json.dumps(dict(wire.headers)), wire.body)
        self._try(lambda: self._file.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?, ?)", row))

    def forget(self, claim: ForgetClaim) -> None:
        self._try(lambda: self._file.execute("DELETE FROM claims WHERE delivery = ?", (claim.delivery,)))

    def close(self) -> None:
        self._file.close()

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except sqlite3.Error as error:
            if not self._full:
                self._full = True
                log.error("claims_not_kept", reason=str(error), effect="a killed master may run builds anew")
        else:
            self._full = False
