"""A probe takes the processor from nobody who needs it."""

from __future__ import annotations

import pytest

from worker_agent.capabilities.run import NICENESS, run, scrubbed_environment


@pytest.mark.parametrize(
    "told",
    [
        pytest.param('[ "$(nice)" = {number} ]', id="process"),
        pytest.param("grep -q 'nice {number}$' /proc/self/autogroup || [ ! -e /proc/self/autogroup ]", id="session"),
    ],
)
async def test_a_probe_is_nice(told: str) -> None:
    """Soon after its start, so that it looks until it is. Kernels without groups of sessions have no such file."""
    until = f"until {told.format(number=NICENESS)}; do sleep 0.1; done; echo nice"
    ran = await run(["sh", "-c", until], timeout=30, environment=scrubbed_environment("/usr/bin:/bin"))
    assert (ran.output, ran.problem) == ("nice\n", "")
