"""Where the fleet's page is in Buildbot's web interface, for links on Buildbot's own pages. Pure.

`buildbot_url` is `c["buildbotURL"]`, which ends with "/".
"""

from __future__ import annotations

from urllib.parse import quote

from contracts.requirements.sets import Requirements


def fleet_url(buildbot_url: str, requirements: Requirements) -> str:
    """The agents that offer what is required."""
    wanted = f"?requirement={quote(requirements.signature, safe='')}" if requirements.items else ""
    return f"{buildbot_url}#/fleet{wanted}"


def agent_url(buildbot_url: str, account: str, instance: str) -> str:
    """One agent."""
    return f"{buildbot_url}#/fleet/agent?id={quote(f'{account}/{instance}', safe='')}"
