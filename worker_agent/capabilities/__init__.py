"""What this machine can do: probes as data (*.toml), probing, evidence.

`detect` finds out, `detect_late` tries again what ran out of time, `remembered` goes on from what was known, `recheck`
looks again at what decides a claim, `Inventory` is the answer with its evidence.

Not here: whether the machine is well at the moment (`worker_agent.agent.health`).
"""

from __future__ import annotations

from worker_agent.capabilities.detect import detect, detect_late, recheck, remembered
from worker_agent.capabilities.inventory import Evidence, Failure, Inventory
from worker_agent.capabilities.options import BadCapability, DetectOptions

__all__ = [
    "BadCapability",
    "DetectOptions",
    "Evidence",
    "Failure",
    "Inventory",
    "detect",
    "detect_late",
    "recheck",
    "remembered",
]
