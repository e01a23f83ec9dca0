"""Two hundred sessions lost at random moments of a build's life, on a master whose database is slow."""

from __future__ import annotations

import os
import time

import pytest

from tests.faults.conftest import Record
from tests.faults.laboratory import losses
from tests.faults.laboratory.lab import Lab

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]


def test_two_hundred_losses(lab: Lab, record: Record) -> None:
    """Each build ends; each request is RETRY where its agent was lost and SUCCESS at its end; each slot works."""
    wanted = int(os.environ.get("FAULT_LOSSES", "200"))
    began = time.monotonic()
    ends = losses.run(lab, lanes=4, losses=wanted, faults=losses.ALL, seed=1)
    print(*(f"{count:4} x {end}" for end, count in sorted(ends.items())), sep="\n")
    lost = sum(end.count("RETRY") * count for end, count in ends.items())
    record(
        fault=f"{lost} sessions lost at random moments of a build's life, in four columns side by side",
        how="a keeper that cannot start or is killed, an agent killed, its link cut for longer than the grace, Kill on "
        f"the worker page; each call of Buildbot's database takes up to {2 * losses.SLOW:.1f} s",
        seen=f"{sum(ends.values())} requests: each build lost RETRY, each last one SUCCESS; every slot works",
        seconds=time.monotonic() - began,
    )
