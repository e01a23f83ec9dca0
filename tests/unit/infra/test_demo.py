"""The parts of the demo that decide, without a broker or a master. `make demo ARGS=--once` runs all of it."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from examples.demo import __main__ as demo
from examples.demo import broker
from examples.demo.builds import Build, Master
from examples.demo.checkout import read_checkout
from examples.demo.errors import DemoError
from examples.demo.processes import Processes
from examples.demo.progress import Progress, all_succeeded, table
from examples.demo.terminal import draw, printed


def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a `docker` that runs `script` on PATH, and nothing else."""
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_docker_client_without_an_engine_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker(tmp_path, monkeypatch, "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    assert not broker.docker_engine_answers()


def test_a_docker_engine_that_answers_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker(tmp_path, monkeypatch, "exit 0")
    assert broker.docker_engine_answers()
    assert broker.compose_command() == ["docker", "compose", "--file=examples/demo/broker.yml"]


def test_a_machine_without_docker_has_no_compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not broker.docker_engine_answers()


def test_the_given_broker_is_used_and_its_password_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://user:secret@broker.example.org/")
    said: list[str] = []
    with broker.open_broker(tmp_path, said.append) as used:
        assert used.url == "amqp://user:secret@broker.example.org/"
        assert "secret" not in used.description
    assert not said


def test_a_folder_that_is_no_checkout_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="git cannot read"):
        read_checkout(tmp_path)


def test_uncommitted_changes_are_counted(tmp_path: Path) -> None:
    """They are not in the clones, so the demo tells."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first words"], check=True)
    (tmp_path / "new").touch()
    checkout = read_checkout(tmp_path)
    assert (checkout.subject, checkout.uncommitted) == ("first words", 1)


def test_a_process_that_ends_by_itself_stops_the_demo_with_the_end_of_its_log(tmp_path: Path) -> None:
    processes = Processes(logs=tmp_path)
    process = processes.start("agent-1", ["sh", "-c", "echo the reason; exit 3"], {}, tmp_path)
    process.child.process.wait()
    with pytest.raises(DemoError, match=r"agent-1 ended with status 3.*\n.*the reason"):
        processes.check()
    processes.stop()


def test_stopping_ends_every_process(tmp_path: Path) -> None:
    processes = Processes(logs=tmp_path)
    children = [processes.start(name, ["sleep", "1000"], {}, tmp_path).child for name in ("master", "agent-1")]
    processes.stop()
    assert not any(child.running for child in children)


def test_only_one_demo_runs_in_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "STATE", tmp_path / "state" / "demo")
    with demo.state_folder(), pytest.raises(DemoError, match="already"), demo.state_folder():
        pass


def test_a_retried_build_is_followed_to_its_last_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buildbot's result RETRY (5) is not the end of a build request."""
    run = {"builderid": 7, "started_at": 100, "state_string": "s", "properties": {}}
    runs = [
        {**run, "buildid": 1, "number": 1, "complete_at": 101, "results": 5},
        {**run, "buildid": 2, "number": 2, "complete_at": 104, "results": 0, "properties": {"agent": ["b", "AMQP"]}},
    ]
    answers: dict[str, object] = {
        "/api/v2/buildrequests/9/builds": {"builds": runs},
        "/api/v2/builds/1/steps": {"steps": []},
    }
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answers[request.url.path]))
    master = Master("http://127.0.0.1:1/")
    monkeypatch.setattr(master, "_http", httpx.Client(base_url="http://127.0.0.1:1/api/v2/", transport=transport))
    waiting = Build(request=9, builder="tests")
    build = master.look(waiting)
    assert (build.number, build.agent, build.result, build.seconds) == (2, "b", 0, 4.0)
    assert build.url == "http://127.0.0.1:1/#/builders/7/builds/2"
    runs.pop()
    assert not master.look(waiting).finished


def test_a_master_that_is_gone_is_an_error_with_its_address() -> None:
    with pytest.raises(DemoError, match="does not answer"):
        Master("http://127.0.0.1:1/").force("tests")


def test_the_table_names_build_agent_result_and_time() -> None:
    console = Console(record=True, width=120, file=io.StringIO())
    builds = [
        Build(request=1, builder="tests", number=4, agent="agent-2", state="build successful", result=0, seconds=12)
    ]
    console.print(table(builds, final=True))
    (row,) = [line for line in console.export_text().splitlines() if "tests #4" in line]
    assert all(text in row for text in ("agent-2", "success", "12.0 s", "build successful"))


def test_without_a_terminal_each_change_is_one_line() -> None:
    console = Console(record=True, width=120, file=io.StringIO())
    with Progress(console) as progress:
        for state in ("waiting", "waiting", "building"):
            progress.update([Build(request=1, builder="tests", state=state)])
    assert console.export_text().splitlines() == ["  tests: waiting", "  tests: building"]


@pytest.mark.parametrize(("results", "succeeded"), [((0, 0), True), ((0, 1), False), ((0, None), False)])
def test_the_exit_status_is_success_only_if_all_builds_succeeded(
    results: tuple[int | None, ...], succeeded: bool
) -> None:
    assert all_succeeded([Build(request=1, builder="b", result=result) for result in results]) is succeeded


def test_a_picture_of_a_terminal_has_what_the_command_printed_there(tmp_path: Path) -> None:
    """Its width, its colours; orders to the terminal are no text; a command that fails is told."""
    script = r"[ -t 1 ] && stty size; printf '\033[?25l\033[31mred <b>\033[0m\033[2K\n'"
    text = printed(["sh", "-c", script], {}, 90)
    assert text == "40 90\n\x1b[31mred <b>\x1b[0m\n"
    draw("master-bridge fleet", text, tmp_path / "made" / "terminal.svg", 90)
    picture = (tmp_path / "made" / "terminal.svg").read_text()
    assert all(each in picture for each in ("master-bridge", "fleet", "red", "&lt;b&gt;"))
    assert "\x1b" not in picture
    with pytest.raises(DemoError, match=r"status 3:\s+the reason"):
        printed(["sh", "-c", "echo the reason; exit 3"], {}, 90)


def test_what_is_left_of_the_last_demo_is_removed_beside_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "STATE", tmp_path / "state" / "demo")
    for _ in range(2):
        with demo.state_folder():
            assert [path.name for path in demo.STATE.iterdir()] == ["logs"]
            (demo.STATE / "left").touch()
    assert sorted(path.name for path in demo.STATE.parent.iterdir()) == ["demo", "demo.lock"]
