"""What a program says becomes steps of its build."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.harness.agents import Agent
from tests.harness.master import Build, BuildMaster
from tests.harness.waiting import wait_for

#: a builder on a column of the fleet, and one on a worker with Buildbot's own protocol; `LINES` is said by both
CONFIG = """
import json
c['workers'] = [*worker.amqp_column("column", workers=2, requires=["make"]), worker.LocalWorker("local")]
def said(lines, end=""):
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\\n" for line in lines)
    return ["sh", "-c", "cat >> $BUILDBOT_PIPELINE <<'.'\\n" + text + ".\\n" + end]
def pipeline(name, lines, end="", workers=("column-1",), after=(), **kwargs):
    builder(name, workers, steps.Pipeline(command=said(lines, end), **kwargs), *after)
"""


def account(master: BuildMaster, build: Build, step: str = "pipeline") -> list[str]:
    """What the step tells of each line, without seconds."""
    return [line.split(" in ")[0] for line in master.step_log(build, step, "lines").splitlines()]


def test_lines_become_steps_in_the_builds_folder_and_elsewhere(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """In order in the folder, beside others with `requires`; failures skip what needs them; `wait` waits for all."""
    lines = [
        {"type": "run", "name": "make", "command": "echo made > made; echo ${MODE}", "env": {"MODE": "fast"}},
        {"type": "run", "name": "see", "command": ["cat", "../made"], "workdir": "sub", "logfiles": {"l": "../made"}},
        {"type": "run", "name": "elsewhere", "command": "ls; echo there", "requires": ["gtk>=3"]},
        {"type": "run", "name": "breaks", "command": "exit 3", "requires": []},
        {"type": "run", "name": "after", "command": "true", "requires": [], "needs": ["breaks"]},
        {"type": "property", "property": "found", "value": {"a": [1, None]}},
        {"type": "run", "name": "bad", "command": "exit 1"},
        {"type": "run", "name": "next", "command": "true"},
        {"type": "run", "name": "clean", "command": "echo cleaned", "needs": []},
        {"type": "wait", "continue_on_failure": True},
        {"type": "run", "name": "last", "command": "echo last"},
        {"type": "wait"},
        {"type": "run", "name": "never", "command": "true"},
    ]
    master = make_master(
        f"{CONFIG}pipeline('b', {lines!r}, allow=['run', 'wait', 'property'], may_require=['gtk', 'any'],"
        " after=[steps.ShellCommand(name='seen', command=['echo', util.Property('found')])])"
    )
    make_agent("a1", capabilities=["make", "gtk=3.24"], slots=3)
    build = master.finished(master.force("b"))
    assert account(master, build) == [
        "line 1: run make: success",
        "line 2: run see: success",
        "line 3: run elsewhere: success",
        "line 4: run breaks: failure",
        "line 5: run after: skipped: it needs `breaks`, which has failed",
        "line 6: property: taken",
        "line 7: run bad: failure",
        "line 8: run next: skipped: it needs `bad`, which has failed",
        "line 9: run clean: success",
        "line 10: wait: taken",
        "line 11: run last: success",
        "line 12: wait: taken",
        "line 13: run never: skipped: a step before `wait` has failed",
    ], master.describe(1)
    assert master.output(build, "make") == "fast\n"
    assert master.output(build, "see") == "made\n"
    assert master.output(build, "see", "l") == "made\n"
    assert master.output(build, "elsewhere") == "there\n"
    assert build.step_result("pipeline") == build.result == "FAILURE"
    assert build.steps["pipeline"]["state_string"] == "7 of 10 steps, 2 failed, 3 skipped (failure)"
    assert "seen" in build.steps
    assert master.properties(build)["found"] == {"a": [1, None]}
    assert json.loads(master.output(build, "pipeline", "pipeline").splitlines()[0]) == lines[0]


def test_works_on_a_worker_of_buildbots_own(make_master: Callable[..., BuildMaster]) -> None:
    """As far as it needs no `requires`, pipelines in one another too. A line that it cuts is told, not half read."""
    inner = json.dumps({"type": "run", "name": "within", "command": "echo within"})
    lines = [
        {"type": "pipeline", "name": "inner", "command": f"cat >> $BUILDBOT_PIPELINE <<'+'\n{inner}\n+\n"},
        {"type": "run", "name": "after", "command": ["echo", "after"]},
    ]
    long = [{"type": "run", "name": "long", "command": "echo $LONG", "env": {"LONG": "x" * 20_000}}]
    master = make_master(
        f"{CONFIG}pipeline('b', {lines!r}, workers=['local'])\npipeline('cut', {long!r}, workers=['local'])"
    )
    requests = [master.force(name) for name in ("b", "cut")]
    build, cut = (master.finished(request) for request in requests)
    assert build.result == "SUCCESS", master.describe(1)
    assert list(build.steps)[1:] == ["pipeline", "inner", "within", "after"]
    assert not list(master.folder.glob("workers/local/b/pipeline-*")), "the files of the lines are gone"
    assert "cuts a line after 409" in master.step_log(cut, "pipeline", "lines")
    assert "long" not in cut.steps


def test_a_line_of_a_megabyte_comes_whole(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """From an agent; and on standard output, where that is asked for."""
    line = "type='run', name='n', command=['true'], env={'A': 'é' * 400_000}"
    say = f"import json; print(json.dumps(dict({line}), ensure_ascii=False))"
    master = make_master(
        f"{CONFIG}builder('b', ['column-1'], steps.Pipeline(command=['python3', '-c', {say!r}], stdout=True))"
    )
    make_agent("a1", capabilities=["make"])
    build = master.finished(master.force("b"))
    assert build.step_result("n") == "FAILURE", build.steps  # no process can have so large a variable
    assert "Argument list too long" in master.step_log(build, "n")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            '{"type": "run", "command": "x", "require": []}',
            "did you mean `requires`?",
        ),
        ('{"type": "run", "comm', "this is no JSON"),
        ('{"type": "run", "command": "x", "requires": ["gpu"]}', "may not ask for `gpu`, they may ask for `gtk`"),
        ('{"type": "property", "property": "x", "value": 1}', "may not say `property`"),
        ('{"type": "run", "command": "x", "needs": ["onne"]}', "did you mean `one`?"),
    ],
)
def test_a_line_that_cannot_be_taken_fails_the_step(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], line: str, problem: str
) -> None:
    """It says line, field and remedy; what came before runs, what comes after does not."""
    lines = [{"type": "run", "name": "one", "command": "true"}, line + "\n", {"type": "run", "command": "touch no"}]
    master = make_master(f"{CONFIG}pipeline('b', {lines!r}, may_require=['gtk'])")
    make_agent("a1", capabilities=["make"])
    build = master.finished(master.force("b"))
    told = master.step_log(build, "pipeline", "lines")
    assert build.result == "FAILURE", master.describe(1)
    assert "line 2: " in told
    assert problem in told
    assert "line 2: " in build.steps["pipeline"]["state_string"]
    assert build.step_result("one") == "SUCCESS"
    assert "run 3" not in build.steps


def test_a_stop_ends_the_program_and_all_steps(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """In the build's folder and elsewhere; what waits is not begun."""
    lines = [
        {"type": "run", "name": "here", "command": "sleep 600"},
        {"type": "run", "name": "there", "command": "sleep 600", "requires": []},
        {"type": "run", "name": "next", "command": "true"},
    ]
    master = make_master(f"{CONFIG}pipeline('b', {lines!r}, end='sleep 600', may_require=['any'])")
    make_agent("a1", capabilities=["make"], slots=2)
    request = master.force("b")
    build = master.step_running(request, "here")
    build = master.step_running(request, "there")
    wait_for(lambda: "sleep 600" in master.step_log(master.build(build.id), "there"), 30, "it runs")
    master.call(f"/builds/{build.id}", "stop", reason="enough")
    build = master.finished(request)
    assert build.result == "CANCELLED", master.describe(request)
    assert {build.step_result(name) for name in ("pipeline", "here", "there")} == {"CANCELLED"}
    assert "next" not in build.steps


OTHERS = """
c['workers'] = [*worker.amqp_column("column", workers=2, requires=["make"])]
c['schedulers'].append(schedulers.Triggerable(name="deploy", builderNames=["deployed"]))
builder("deployed", ["column-2"], steps.ShellCommand(name="say", command=util.Interpolate(
    "sleep {seconds}; echo to %(prop:target)s")))
builder("b", ["column-1"], steps.Pipeline(command=said, uploads="kept", allow=["run", "trigger", "upload", "wait"],
    schedulers=["deploy"]))
"""


def test_files_are_kept_and_other_builds_are_asked_for_once(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """A master that is killed meanwhile waits for the builds that it had asked for."""
    lines = [
        {"type": "run", "command": "echo content > made"},
        {"type": "upload", "path": "made", "to": "made.txt"},
        {"type": "trigger", "name": "deploy", "scheduler": "deploy", "properties": {"target": "here"}},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    command = f"cat >> $BUILDBOT_PIPELINE <<'.'\n{text}.\n"
    master = make_master(f"said = {command!r}\n{OTHERS.format(seconds=8)}")
    make_agent("a1", capabilities=["make"], slots=2)
    request = master.force("b")
    wait_for(lambda: master.get("/builders/deployed/builds")["builds"], 30, lambda: master.describe(request))
    master.kill()
    assert (master.folder / "kept" / "made.txt").read_text() == "content\n"
    master.start()
    build = master.finished(request)
    assert build.result == "SUCCESS", master.describe(request)
    assert build.step_result("deploy") == "SUCCESS"
    assert len(master.get("/buildrequests?builderid=" + str(master.builder_id("deployed")))["buildrequests"]) == 1


def test_a_battery_has_the_folder_as_it_is_then(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """Its tests are made by the step before, and run on any agent."""
    lines = [
        {"type": "run", "command": "mkdir t; for n in 1 2 3 4; do echo test $n $((n % 4)) > t/$n; done"},
        {
            "type": "battery", "name": "tests", "units": ["t/1", "t/2", "t/3", "t/4"],
            "command": ["sh", "-c", "for unit; do grep -q ' [123]$' $unit || exit 1; done", "-", "{units}"],
        },
    ]  # fmt: skip
    master = make_master(f"{CONFIG}pipeline('b', {lines!r}, allow=['run', 'battery'], may_require=['any'])")
    make_agent("a1", capabilities=["make"], slots=2)
    build = master.finished(master.force("b"))
    assert build.step_result("tests") == "FAILURE", master.describe(1)
    assert "t/4" in json.dumps(build.steps["tests"]), "the unit that failed is named"
