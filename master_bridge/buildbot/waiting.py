"""What people read while work waits for an agent. Pure."""

from __future__ import annotations

import time

from master_bridge.buildbot.fleet import Outlook

#: Seconds between two looks at what a waiting build says.
REFRESH = 2.0


def waiting_text(*, needs: str, since: float, outlook: Outlook, state: str, down: str | None) -> str:
    """For a preparation step: for what it waits, since when (seconds since the epoch), and with what prospects.

    `down`: why the broker is out of reach; `state`: the machine's, "missing" or "granted" among others.
    """
    text = f"waits for an agent with {needs} since {time.strftime('%H:%M:%S', time.localtime(since))}"
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
        return f"{text}: {outlook.qualified} live {word}, {outlook.busy} busy, {idle} idle"
    alive = "1 agent is alive" if outlook.agents == 1 else f"{outlook.agents} agents are alive"
    nearest = f"; nearest: {'; '.join(outlook.misses)}" if outlook.misses else ""
    return f"{text}: none of the live agents qualifies ({alive}){nearest}"
