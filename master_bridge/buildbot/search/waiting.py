"""What people read while work waits for an agent. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass

from contracts.messages import ExpectedStart
from contracts.readable import moment
from master_bridge.buildbot.fleet.view import Outlook

#: Seconds between two looks at what a waiting build says.
REFRESH = 2.0


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """What will be enough from `at` (seconds since the epoch) on, when what is preferred has not come."""

    needs: str
    at: float


def waiting_text(
    *,
    needs: str,
    since: float,
    outlook: Outlook,
    state: str,
    down: str | None,
    later: Fallback | None = None,
    expected: ExpectedStart | None = None,
) -> str:
    """For a preparation step: for what it waits, since when (seconds since the epoch), and with what prospects.

    `down`: why the broker is out of reach; `state`: the machine's, "missing" or "granted" among others. Clock times are
    told, which stay as they are: each other text is written to Buildbot's database.
    """
    text = _waiting_text(needs=needs, since=since, outlook=outlook, state=state, down=down)
    if expected is not None and down is None and state == "waiting":
        early, likely, late = (_clock(moment(each)) for each in (expected.early, expected.likely, expected.late))
        span = "" if early == late else f" (between {early} and {late})"
        text += f"; expected to start at {likely}{span}"
    if later is None:
        return text
    enough = "any agent" if later.needs == "any" else f"one with {later.needs}"
    return f"{text}; from {_clock(later.at)} on {enough} will do"


def _waiting_text(*, needs: str, since: float, outlook: Outlook, state: str, down: str | None) -> str:
    text = f"waits for an agent with {needs} since {_clock(since)}"
    if needs == "any":
        text = text.replace("an agent with any", "any agent")
    if down is not None:
        return f"{text}: the broker is out of reach ({down})"
    if state == "window":
        return f"{text}: asking whether an agent has this build already"
    if state == "granted":
        return f"{text}: an agent is taking it"
    if not outlook.agents:
        return f"{text}: no agent is alive"
    if outlook.qualified:
        idle = outlook.qualified - outlook.busy
        word = "agent qualifies" if outlook.qualified == 1 else "agents qualify"
        unfit = f"; {outlook.unfit_text}" if outlook.unfit else ""
        return f"{text}: {outlook.qualified} live {word}, {outlook.busy} busy, {idle} idle{unfit}"
    if outlook.unfit:
        count = "1 live agent offers" if len(outlook.unfit) == 1 else f"{len(outlook.unfit)} live agents offer"
        takes = "takes" if len(outlook.unfit) == 1 else "take"
        return f"{text}: {count} what is needed, but {takes} no work: {outlook.unfit_text}"
    alive = "1 agent is alive" if outlook.agents == 1 else f"{outlook.agents} agents are alive"
    nearest = f"; nearest: {'; '.join(outlook.misses)}" if outlook.misses else ""
    return f"{text}: none of the live agents qualifies ({alive}){nearest}"


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))
