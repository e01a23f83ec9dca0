"""A test runner of the tests' own: units are names; what a name says is what happens. Writes a JUnit report.

Usage: runner.py REPORT FOLDER UNIT…   In FOLDER each unit leaves a line that it ran, of which agent and process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr


def end_agent(folder: str) -> None:
    """As a power cut: all processes of the agent, its keepers first, so that nobody tells how a command ended."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if entry.name.isdigit() and f"AGENT_FOLDER={folder}\0".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    for process in sorted(found, key=lambda number: number == os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


def run(unit: str, folder: Path) -> str:
    """Empty: it passed. "sleep1-…" takes a second, "fail…" fails, "flaky…" fails once, "kill…" ends its agent."""
    ran = folder / "ran"
    before = ran.read_text().split().count(unit) if ran.exists() else 0
    with ran.open("a") as file:
        file.write(f"{unit}\n")
    for part in unit.split("-"):
        if part.startswith("sleep"):
            time.sleep(float(part.removeprefix("sleep")))
        if part == "wait":
            while not (folder / "go").exists():
                time.sleep(0.05)
        if part == "kill":
            end_agent(os.environ["AGENT_FOLDER"])
    if "fail" in unit.split("-") or ("flaky" in unit.split("-") and not before):
        return f"{unit} went wrong in run {before + 1}"
    return ""


def main() -> int:
    report, folder, units = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    cases, failed = [], 0
    for unit in units:
        began = time.monotonic()
        problem = run(unit, folder)
        failed += bool(problem)
        inside = f"<failure message={quoteattr(problem)}>{escape(problem)}</failure>" if problem else ""
        cases.append(f'<testcase name={quoteattr(unit)} time="{time.monotonic() - began:.3f}">{inside}</testcase>')
        print(unit, "failed" if problem else "passed", flush=True)
    report.write_text(f"<testsuites><testsuite name='s'>{''.join(cases)}</testsuite></testsuites>")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
