"""How an agent's run ended, and what its process makes of it."""

from __future__ import annotations

from enum import Enum


class EndReason(Enum):
    """Why the agent's loop ended."""

    #: asked to leave, and nothing is held any more
    LEFT = "left"
    #: another process is to take over the sessions
    RESTART = "restart"
    #: a part of it broke, or its work did not end in time; whoever watches it should start it anew
    FAILED = "failed"
