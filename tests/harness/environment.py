"""The environment of the programs that tests start: the same for ours and for Buildbot's own, whichever shell began."""

from __future__ import annotations

import os

#: What a shell tells about itself, or pytest about the running test.
_NOISE = ("_", "OLDPWD", "PWD", "SHLVL", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT")
#: Settings of our programs, which tests give themselves.
_OURS = ("BUILDBOT_AMQP", "WORKER_AGENT_")


def program_environment() -> dict[str, str]:
    """This process's environment without such variables; Python writes its output at once."""
    kept = {key: value for key, value in os.environ.items() if key not in _NOISE and not key.startswith(_OURS)}
    return {**kept, "PYTHONUNBUFFERED": "1"}
