"""What became of each line of a pipeline, for people."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.pipeline.lines import kind_of
from contracts.pipeline.script import Entry


@dataclass
class _Line:
    entry: Entry
    text: str = ""
    started: float | None = None


@dataclass
class Account:
    """All lines of one program, in order."""

    lines: dict[int, _Line] = field(default_factory=dict)
    steps: int = 0
    ended: int = 0
    failed: int = 0
    skipped: int = 0

    def taken(self, entry: Entry) -> None:
        self.lines[entry.number] = _Line(entry, "waits" if entry.name else "taken")
        if entry.name:
            self.steps += 1

    def skip(self, entry: Entry, reason: str) -> None:
        self.skipped += 1
        self.lines[entry.number].text = f"skipped: {reason}"

    def start(self, entry: Entry, now: float) -> None:
        """`now`: seconds, as in `end`."""
        line = self.lines[entry.number]
        line.started, line.text = now, "runs"

    def end(self, entry: Entry, result: str, agent: str, now: float) -> None:
        """`result`: as Buildbot names it, "success"."""
        self.ended += 1
        self.failed += result not in ("success", "warnings")
        line = self.lines[entry.number]
        took = f" in {now - line.started:.1f} s" if line.started is not None else ""
        line.text = f"{result}{took}{f' on {agent}' if agent else ''}"

    def summary(self) -> str:
        """One line: how far it is."""
        text = f"{self.ended} of {self.steps} steps"
        if self.failed:
            text += f", {self.failed} failed"
        if self.skipped:
            text += f", {self.skipped} skipped"
        return text

    def text(self, problem: str | None) -> str:
        """One line for each of the program's; `problem`: of the one that could not be taken."""
        told = [
            f"line {number}: {kind_of(line.entry.line)} {line.entry.name}: {line.text}".replace(" : ", ": ")
            for number, line in self.lines.items()
        ]
        if problem is not None:
            told.append(f"{problem}\nThe lines after it were not read.")
        return "\n".join(told or ["The program said no line."]) + "\n"
