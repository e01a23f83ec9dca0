"""How machines get what a battery needs: an archive of the build's folder, or steps; once for each revision."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster

UNITS = [f"sleep0.2-{number}" for number in range(16)]


def archives_made(master: BuildMaster) -> int:
    """Downloads of archives that agents were told to make."""
    return master.log().count("amqp.battery_archive_fetched")


def test_an_archive_is_fetched_once_by_each_machine(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Also by one with two slots; another build of the same files fetches nothing, one of other files does."""
    master = make_master(f"""
c['workers'] = [worker.LocalWorker("local")]
@util.renderer
def content(props):
    return ["sh", "-c", "cat {tmp_path}/content > content; mkdir -p folder; echo deep > 'folder/a file'"]
builder("b", c['workers'],
    steps.ShellCommand(name="make", command=content),
    steps.Battery(units={UNITS!r}, requires=["gtk"], prepare="archive",
        command=["sh", "-c", "cat content 'folder/a file'; sleep 0.3; for unit; do echo $unit; done >> {tmp_path}/ran",
            "x", util.Units()]))
""")
    make_agent("a1", capabilities=["gtk"], slots=2)
    make_agent("a2", capabilities=["gtk"])
    fetched = []
    for content in ("one", "one", "two"):
        (tmp_path / "content").write_text(f"{content}\n")
        request = master.force("b")
        build = master.finished(request, 90)
        assert build.step_result("battery") == "SUCCESS", master.describe(request)
        assert f"{content}\ndeep\n" in master.output(build, "battery")
        fetched.append(archives_made(master))
    assert fetched == [2, 2, 4]
    assert sorted((tmp_path / "ran").read_text().split()) == sorted(UNITS * 3)


@pytest.mark.long
def test_a_checkout_is_made_once_by_each_machine(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """By one of Buildbot's source steps, and a step that builds; what the repository has meanwhile changes nothing."""
    repository = tmp_path / "repository"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(repository)]
    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], check=True)
    (repository / "content").write_text("one\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    master = make_master(f"""
c['workers'] = [worker.LocalWorker("local")]
builder("b", c['workers'],
    steps.Git(repourl={str(repository)!r}, branch="main", mode="incremental"),
    steps.Battery(units={UNITS!r}, requires=["gtk"],
        prepare=[steps.Git(repourl={str(repository)!r}, branch="main", mode="incremental"),
            steps.ShellCommand(command="echo built >> {tmp_path}/built; cp content made")],
        command=["sh", "-c", "cat made; for unit; do echo $unit; done >> {tmp_path}/ran", "x", util.Units()]))
""")
    for name in ("a1", "a2"):
        make_agent(name, capabilities=["gtk"])
    for _ in range(2):
        request = master.force("b")
        build = master.finished(request, 90)
        assert build.step_result("battery") == "SUCCESS", master.describe(request)
        assert "one\n" in master.output(build, "battery")
    assert (tmp_path / "built").read_text() == "built\n" * 2
    assert sorted((tmp_path / "ran").read_text().split()) == sorted(UNITS * 2)


@pytest.mark.long
def test_machines_that_cannot_be_prepared_end_the_battery(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """The step says why; no unit is blamed."""
    master = make_master(f"""
c['workers'] = [worker.LocalWorker("local")]
builder("b", c['workers'], steps.Battery(units={UNITS!r}, requires=["gtk"],
    prepare=[steps.ShellCommand(command="echo no compiler; exit 1")], command=["true", util.Units()]))
""")
    make_agent("a1", capabilities=["gtk"])
    request = master.force("b")
    build = master.finished(request, 90)
    assert build.step_result("battery") == "FAILURE", master.describe(request)
    assert "could not be prepared" in build.steps["battery"]["state_string"]
    assert "no compiler" in master.step_log(build, "battery", "stdio of ShellCommand on a1")
