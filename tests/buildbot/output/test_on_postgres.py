"""Logs in a master's database of PostgreSQL, which several of its threads write at once: each line once, in order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.stand.postgres import Postgres
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import Way

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

BUILDS = 4
#: Of each build: lines in large pieces, small pieces of some lines, and what comes after `go` is there.
LARGE, SMALL, LATE = 20_000, 200, 2_000
_PROGRAM = f"""
import pathlib, sys, time
lines = (f"{{number:08d}} " + number % 97 * "yü" + chr(10) for number in range({LARGE + 3 * SMALL + LATE}))
def say(count):
    sys.stdout.buffer.write("".join(next(lines) for _ in range(count)).encode())
    sys.stdout.buffer.flush()
say({LARGE})
for _ in range({SMALL}):
    say(3)
    time.sleep(0.01)
pathlib.Path(sys.argv[1] + ".said").touch()
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.05)
say({LATE})
"""
WANTED = "".join(f"{number:08d} " + number % 97 * "yü" + "\n" for number in range(LARGE + 3 * SMALL + LATE))
CONFIG = """
c['db'] = {{'db_url': {database!r}}}
slots = worker.amqp_column('any', workers={builds}, requires=['any'])
c['workers'] = slots
for n in range({builds}):
    builder(f'b{{n}}', slots, steps.ShellCommand(name='say', command=[*{command!r}, {go!r} + f'-{{n}}']))
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """The URL of an empty one."""
    postgres = Postgres(tmp_path / "postgres")
    try:
        postgres.start()
        yield postgres.database("buildbot")
    finally:
        postgres.stop()


@pytest.fixture
def master(tmp_path: Path, way: Way, database: str) -> Iterator[BuildMaster]:
    folder = tmp_path / "master-m1"
    command = [sys.executable, "-c", _PROGRAM]
    config = CONFIG.format(database=database, builds=BUILDS, command=command, go=str(tmp_path / "go"))
    made = BuildMaster(folder, config, url=way.master(folder))
    made.create()
    made.start()
    made.wait_linked()
    yield made
    made.kill()


@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "master killed"])
def test_what_four_builds_print_at_once_is_stored_whole(
    master: BuildMaster, make_agent: Callable[..., Agent], tmp_path: Path, killed: bool
) -> None:
    """Also where the master is killed meanwhile: what its log of the second run holds is all that was printed."""
    make_agent("a1", slots=BUILDS)
    requests = [master.force(f"b{number}") for number in range(BUILDS)]
    said = [tmp_path / f"go-{number}.said" for number in range(BUILDS)]
    wait_for(lambda: all(path.exists() for path in said), 180, lambda: f"all have spoken:\n{master.log()[-3000:]}")
    if killed:
        master.kill()
        master.start()
        master.wait_linked()
    for number in range(BUILDS):
        (tmp_path / f"go-{number}").touch()
    for request in requests:
        build = master.finished(request, 180)
        assert build.result == "SUCCESS", master.describe(request)
        assert master.output(build, "say") == WANTED
