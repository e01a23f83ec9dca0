"""What a run of these tests found: fault, how it was made, what was seen, seconds. Printed, and written to files.

`build/faults/<test>.json` is the newest finding of each test; `python -m tests.faults.laboratory.record` puts them into
docs/faults.md, in the place of what it has of the same fault over the same transport, with Buildbot's own protocol (PB)
beside ours where it was put through the same.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tests.harness.ways import RABBITMQ, TRANSPORTS

ROOT = Path(__file__).parents[3]
FINDINGS = ROOT / "build" / "faults"
REPORT = ROOT / "build" / "fault-report.md"
DOCUMENT = ROOT / "docs" / "faults.md"
PROPERTY = "fault"

HEADER = "| fault | how it was made | protocol | what was seen | seconds |\n|---|---|---|---|---:|"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row. `fault` is the same text for both protocols; `seconds` is what `seen` speaks of, None: nothing timed.

    `transport`: between our masters and agents.
    """

    fault: str
    how: str
    seen: str
    seconds: float | None
    protocol: Literal["ours", "PB"] = "ours"
    transport: str = RABBITMQ

    def row(self) -> str:
        seconds = "" if self.seconds is None else f"{self.seconds:.1f}"
        protocol = self.protocol if self.transport == RABBITMQ else f"{self.protocol}, by {self.transport}"
        return f"| {self.fault} | {self.how} | {protocol} | {self.seen} | {seconds} |"


def keep(test: str, findings: Iterable[Finding]) -> None:
    FINDINGS.mkdir(parents=True, exist_ok=True)
    rows = [{"at": time.time(), **asdict(finding)} for finding in findings]
    transport = rows[0]["transport"] if rows else RABBITMQ
    (FINDINGS / f"{test}{'' if transport == RABBITMQ else f'.{transport}'}.json").write_text(json.dumps(rows, indent=1))


def read() -> list[Finding]:
    found = []
    for file in sorted(FINDINGS.glob("*.json")):
        for row in json.loads(file.read_text()):
            row.pop("at")
            found.append(Finding(**row))
    return found


def recorded(document: str) -> list[Finding]:
    """The rows of a document that was made here."""
    found = []
    for line in document.partition(HEADER)[2].strip().splitlines():
        fault, how, protocol, seen, seconds = (cell.strip() for cell in line[1:-1].split("|"))
        name, _, transport = protocol.partition(", by ")
        found.append(
            Finding(
                fault=fault, how=how, seen=seen, seconds=float(seconds) if seconds else None,
                protocol="PB" if name == "PB" else "ours", transport=transport or RABBITMQ,
            )
        )  # fmt: skip
    return found


def together(old: Iterable[Finding], new: Iterable[Finding]) -> list[Finding]:
    """The newer of what is of one fault, protocol and transport."""
    found = {(each.fault, each.protocol, each.transport): each for each in (*old, *new)}
    return list(found.values())


def table(findings: Iterable[Finding]) -> str:
    """Sorted so that the two protocols of one fault stand together."""
    rows = list(findings)
    order = {fault: place for place, fault in reversed(list(enumerate(finding.fault for finding in rows)))}
    rows.sort(key=lambda finding: (order[finding.fault], finding.protocol == "PB", TRANSPORTS.index(finding.transport)))
    return "\n".join([HEADER, *(finding.row() for finding in rows)])


INTRODUCTION = """# Faults, and what they cost

Made by `make test-long` (tests/faults) from real processes: RabbitMQ, a Buildbot master, worker agents, real signals
and network namespaces. PB is Buildbot's own protocol and worker (4.3) put through the same by the same harness. Times
were taken on a shared machine with two cores while other tests ran beside them. "ours" is over RabbitMQ, unless a row
says by what; which tests passed over which transport is in [another table](tested-transports.md).

One leftover is RabbitMQ's: in a cluster a quorum queue keeps what a cancelled consumer on a killed node had been given
(an agent's lease on its offer) until the queue's leader moves; nobody is handed it and no build waits for it.
[Operations](operations.md#a-cluster-that-lost-a-node) says what to do.

**Killed, or cut off?** Where agents come to the master by AMP, it knows the one from the other, and does not wait for
who was killed: an end of the connection in order and without a goodbye says that all of the agent's processes which
keep builds have ended (the kernel closes a connection when the last of them has). A reset or a silence is a cut, and
has its grace (so has an agent that was killed before it had read all that came: its kernel resets the connection). If
something between them closes connections in order by itself although both ends see the same addresses, the master
loses a build to a living agent: the agent resumes within a second, is refused, and ends what runs; the build runs
twice for that long, as after any grace, but never with strict fencing, whose time nothing shortens.

"""


def main() -> int:
    findings = read()
    if not findings:
        print("no findings in build/faults: run `make test-long ARGS=tests/faults` first", file=sys.stderr)
        return 1
    rows = together(recorded(DOCUMENT.read_text()), findings)
    DOCUMENT.write_text(INTRODUCTION + table(rows) + "\n")
    print(f"{DOCUMENT}: {len(rows)} rows, {len(findings)} of them of this machine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
