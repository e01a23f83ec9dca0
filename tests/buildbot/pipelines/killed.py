"""A pipeline whose master is killed again and again; used by a short test here and by a long one of tests/faults."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from tests.harness.master import Build, BuildMaster
from tests.harness.waiting import wait_for

#: Every second command runs in the build's own folder, every other on any agent; each notes that it ran.
CONFIG = """
say = '''
import json, os
with open(os.environ["BUILDBOT_PIPELINE"], "a") as file:
    for n in range({steps}):
        line = dict(type="run", name=f"s{{n}}", command=["sh", "-c", f"echo {{n}} >> {ran}; echo said {{n}}"])
        if n % 2:
            line["requires"] = []
        file.write(json.dumps(line) + "\\\\n")
        file.flush()
'''
c['workers'] = worker.amqp_column("column", workers=1, requires=["make"])
builder('b', ["column-1"], steps.Pipeline(command=[{python!r}, '-c', say], may_require=['any'], side_by_side=3))
"""


def ran(file: Path) -> Counter[int]:
    """How often each command ran."""
    return Counter(int(line) for line in file.read_text().splitlines()) if file.exists() else Counter()


def kill_through(master: BuildMaster, request: int, file: Path, *, steps: int, kills: int, patience: float) -> Build:
    """Kill the master `kills` times while the commands run, evenly spread over them; returns the finished build."""
    for kill in range(kills):
        wanted = steps * (kill + 1) // (kills + 1)
        wait_for(lambda w=wanted: len(ran(file)) >= w, patience, f"{wanted} commands ran", every=0.05)  # type: ignore[misc]  # mypy: defaults of lambdas
        master.kill()
        log = master.folder / "twistd.log"
        log.rename(log.with_suffix(f".{time.monotonic()}"))
        master.start()
        master.wait_linked()
    return master.finished(request, patience)


def check_once(master: BuildMaster, build: Build, file: Path, *, steps: int) -> None:
    """Each command ran once, and each step has the output of its own."""
    assert build.result == "SUCCESS", master.describe(int(build.row["buildrequestid"]))
    assert ran(file) == Counter(range(steps))
    told = master.step_log(build, "pipeline", "lines").splitlines()
    assert [line.split(" in ")[0] for line in told] == [f"line {n + 1}: run s{n}: success" for n in range(steps)]
    for n in range(0, steps, max(1, steps // 50)):
        assert master.output(build, f"s{n}") == f"said {n}\n"
