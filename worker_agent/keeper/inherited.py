"""What a process has of its parent, and may get from outside while it runs (a service manager, prlimit, renice)."""

from __future__ import annotations

import contextlib
import os
import resource

import psutil

from worker_agent.keeper.files import read_file


def inherited() -> tuple[object, ...]:
    """This process's limits, priorities, control group, score for want of memory, and processors."""
    found: list[object] = [resource.getrlimit(number) for number in range(getattr(resource, "RLIM_NLIMITS", 9))]
    found.append(os.getpriority(os.PRIO_PROCESS, 0))
    for path in ("/proc/self/cgroup", "/proc/self/oom_score_adj"):
        with contextlib.suppress(OSError):  # another system
            found.append(read_file(path))
    if hasattr(os, "sched_getaffinity"):
        found += [os.sched_getaffinity(0), os.sched_getscheduler(0)]
    if hasattr(psutil.Process, "ionice"):
        found.append(psutil.Process().ionice())
    return tuple(found)
