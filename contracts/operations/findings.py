"""What the doctors of both programs find: pass, warn or fail, what was seen, and what to change. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from contracts.operations.exit_status import ExitStatus
from contracts.rabbitmq.facts import OLDEST, TESTED, UNKNOWN_SINCE, facts
from contracts.rabbitmq.product import Product
from contracts.readable import shown

Verdict = Literal["pass", "warn", "fail"]

#: Clocks that differ by more seconds than this warn, and by more than the second fail: rule 15's margin is 60 s.
CLOCK_WARN, CLOCK_FAIL = 5.0, 55.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check. `remedy` is empty for what passed."""

    check: str
    verdict: Verdict
    seen: str
    remedy: str = ""


def report(findings: Iterable[Finding], *, as_json: bool) -> str:
    """For people a line each and one below it for the remedy; for programs a list."""
    listed = list(findings)
    if as_json:
        return json.dumps([asdict(finding) for finding in listed], indent=2)
    width = max((len(finding.check) for finding in listed), default=0)
    lines = []
    for finding in listed:
        lines.append(f"{finding.verdict}  {finding.check:<{width}}  {shown(finding.seen)}")
        if finding.remedy:
            lines.append(f"{'':<{width + 6}}  -> {shown(finding.remedy)}")
    return "\n".join(lines)


def status(findings: Iterable[Finding]) -> int:
    """Exit status: `FAILED` when anything failed, else 0."""
    return ExitStatus.FAILED if any(finding.verdict == "fail" for finding in findings) else 0


def broker_version(product: Product) -> list[Finding]:
    """Whether this version is fit for us, and what holds there, a line each."""
    tested = f"RabbitMQ {', '.join(TESTED[:-1])} and {TESTED[-1]}"
    seen, version = str(product), product.version
    if not version or product.name != "RabbitMQ":
        return [Finding(check="broker version", verdict="warn", seen=seen or "not told",
                        remedy=f"tested with {tested}")]  # fmt: skip
    if version < OLDEST:
        return [Finding(check="broker version", verdict="fail", seen=seen, remedy="upgrade RabbitMQ to 3.10 or later")]
    if version >= UNKNOWN_SINCE:
        found = Finding(check="broker version", verdict="warn", seen=seen,
                        remedy=f"newer than what was tested ({tested}): try it on a test vhost first")  # fmt: skip
    else:
        found = Finding(check="broker version", verdict="pass", seen=seen)
    # what is not known to differ from the newest tested version holds on
    return [found, *(Finding(check=fact.topic, verdict="pass", seen=fact.text) for fact in facts(version))]


def clock(whose: str, ahead: float) -> Finding:
    """`ahead`: seconds by which the other clock is ahead of ours, or behind when negative."""
    seen = f"{whose} is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine"
    if abs(ahead) < CLOCK_WARN:
        return Finding(check="clock", verdict="pass", seen=seen)
    return Finding(
        check="clock",
        verdict="warn" if abs(ahead) < CLOCK_FAIL else "fail",
        seen=seen,
        remedy="let both machines keep their time by NTP; signed messages and first deliveries depend on it",
    )
