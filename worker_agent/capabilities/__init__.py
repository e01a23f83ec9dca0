"""What this machine can do: probes as data (*.toml), probing, evidence.

`detect` finds out, `recheck` looks again at what decides a claim, `Inventory` is the answer with its evidence.
"""

from __future__ import annotations

from worker_agent.capabilities.detect import detect, recheck
from worker_agent.capabilities.inventory import Evidence, Failure, Inventory
from worker_agent.capabilities.options import BadCapability, DetectOptions

__all__ = ["BadCapability", "DetectOptions", "Evidence", "Failure", "Inventory", "detect", "recheck"]
