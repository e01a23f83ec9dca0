"""A battery's files on the master: what it was told, its shards' reports, the archive of its source.

`<basedir>/batteries/br-<build request>-step-<number>/`: the same folder when Buildbot runs an interrupted build again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from master_bridge.core.battery import journal
from master_bridge.core.battery.battery import BatteryMachine
from master_bridge.core.battery.events import Input

FOLDER = "batteries"
#: Seconds for which a battery's folder is kept, and how many are.
KEPT_FOR = 14 * 24 * 3600
KEPT = 500


class Store:
    """Of one battery. Everything raises OSError as the disk does."""

    def __init__(self, basedir: str, request: str) -> None:
        self.folder = Path(basedir, FOLDER, request.replace("/", "-"))
        self._journal: int | None = None

    def open(self) -> tuple[journal.Beginning, BatteryMachine] | None:
        """What a master that died left of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        os.utime(self.folder)
        _remove_old(self.folder)
        path = self.folder / "journal.jsonl"
        if not path.exists():
            return None
        with path.open(encoding="utf-8", errors="replace") as file:
            return journal.read(file)

    def begin(self, beginning: journal.Beginning) -> None:
        """A new battery: what was there before is gone."""
        for path in (*self.folder.glob("report-*.xml"), self.folder / "junit.xml"):
            path.unlink(missing_ok=True)
        self._append(journal.beginning_line(beginning), anew=True)

    def write(self, event: Input, now: float) -> None:
        self._append(journal.input_line(event, now))

    def note(self, line: str) -> None:
        """A line of the edge's own, which the battery passes over."""
        self._append(line)

    def notes(self) -> list[str]:
        with contextlib.suppress(OSError):
            return (self.folder / "journal.jsonl").read_text("utf-8", "replace").splitlines()
        return []

    def _append(self, line: str, *, anew: bool = False) -> None:
        if self._journal is None or anew:
            self.close()
            flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | (os.O_TRUNC if anew else 0)
            self._journal = os.open(self.folder / "journal.jsonl", flags, 0o600)
            if not anew:
                os.write(self._journal, b"\n")  # the last line may be half of one
        # Not synced: what a killed master wrote is there, and a reactor does not wait for a disk. After a power cut
        # some shards may run again.
        os.write(self._journal, line.encode() + b"\n")

    def close(self) -> None:
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None

    # ---- reports

    def keep_report(self, shard: int, text: str) -> None:
        (self.folder / f"report-{shard}.xml").write_text(text, encoding="utf-8")

    def report(self, shard: int) -> str:
        """Empty: there is none."""
        path = self.folder / f"report-{shard}.xml"
        return path.read_text("utf-8") if path.exists() else ""

    @property
    def junit(self) -> Path:
        """All of them in one."""
        return self.folder / "junit.xml"

    @property
    def archive(self) -> Path:
        return self.folder / "archive.tar.gz"


def _remove_old(mine: Path) -> None:
    """Batteries of long ago, and those beyond the number that is kept."""
    others = [path for path in mine.parent.iterdir() if path != mine and path.is_dir()]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for place, path in enumerate(others):
        if place >= KEPT or time.time() - path.stat().st_mtime > KEPT_FOR:
            shutil.rmtree(path, ignore_errors=True)
