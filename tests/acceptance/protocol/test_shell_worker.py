"""The worker in POSIX sh under the conformance kit, with each shell that it is written for."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from conformance.checks.transfers import CONTENT, begin_download
from conformance.run import Kit, KitOptions, run_kit
from conformance.stage import shell_args
from contracts.messages import Data, Pull
from contracts.testing.child import Child
from tests.harness.tree import ROOT
from tests.harness.waiting import wait_for

WORKER = ROOT / "examples/worker-sh/worker.sh"
TOOLS = (
    "awk", "cat", "chmod", "cp", "date", "dd", "dirname", "head", "mkdir", "mkfifo", "mv", "od", "rm", "sed", "setsid",
    "sh", "sleep", "stat", "test", "tr", "wc",
)  # fmt: skip
SHELLS = {"dash": ("dash",), "busybox": ("busybox", "sh")}
#: In every run of the tests each is checked with one of them, with the other by `make test-long`.
WITH_DASH = pytest.mark.parametrize("shell", ["dash", pytest.param("busybox", marks=pytest.mark.long)])
WITH_BUSYBOX = pytest.mark.parametrize("shell", [pytest.param("dash", marks=pytest.mark.long), "busybox"])
#: What it leaves out; its README says so.
NOT_IN_SHELL = {
    "shell.log-files", "files.listdir", "files.glob", "upload.keepstamp", "upload.directory", "command-offer.at-once",
    "command-offer.aside", "input.control-to-dead", "leave.killed-told",
}  # fmt: skip
#: Checked in every run of the tests; the others take minutes.
QUICK = (
    "claim.answers",
    "shell.secrets",
    "events.numbered",
    "events.any-bytes",
    "interrupt.tree",
    "download.file",
    "reconnect.resumes",
    "reconnect.large",
)


def test_the_shell_worker_is_small_and_can_be_read() -> None:
    """Comments and blank lines count, too; shellcheck reads it in the tests of scripts."""
    lines = [
        line for path in WORKER.parent.glob("*.*") if path.suffix != ".md" for line in path.read_text().splitlines()
    ]
    assert 200 < len(lines) < 400
    assert max(len(line) for line in lines) <= 120


@pytest.mark.parametrize("shell", SHELLS)
def test_what_masters_want_is_remembered_once_however_many_say_it(shell: str) -> None:
    """Rule 27: the least that was wanted within 15 s counts. Each `alive` goes through the list."""
    said = "pace 60; pace 10; " + 40 * "pace 60; " + "now=5; pace 60; "
    tells = 'echo "$every$wants"; '
    script = (
        f"now=3 wants=''; pace; {tells}{said}{tells}now=18; pace; {tells}now=19; pace; {tells}now=21; pace; {tells}"
    )
    function = subprocess.run(["sed", "-n", "/^pace()/,/^}/p", str(WORKER)], check=True, capture_output=True, text=True)
    done = subprocess.run(
        [*SHELLS[shell], "-c", function.stdout + script], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == ["5", "10 60:5 10:3", "10 60:5 10:3", "60 60:5", "5"]


def options(shell: str, folder: Path, only: tuple[str, ...] = ()) -> KitOptions:
    """With busybox all tools are its own, too."""
    words = list(SHELLS[shell])
    if shell == "busybox":
        busybox = shutil.which("busybox")
        assert busybox is not None, "busybox is missing: `make tools` installs it"
        for tool in TOOLS:
            (folder / tool).symlink_to(busybox)
        words = ["env", f"PATH={folder}:/usr/bin:/bin", *words]
    command = (
        *words, str(WORKER), "conformance", "{state}", "cap.{signature}", "{signature}", "{connect}",
    )  # fmt: skip
    return KitOptions(url=None, command=command, only=only, patience=60.0)


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_worker_does_all_that_a_worker_must(shell: str, tmp_path: Path) -> None:
    """And what it should, but for what its README names."""
    report = run_kit(options(shell, tmp_path))
    print(report.as_table())
    failed = {result.requirement.id: result.what for result in report.results if not result.passed}
    assert set(failed) == NOT_IN_SHELL, failed
    assert report.conforms


@WITH_BUSYBOX
def test_the_shell_worker_runs_commands_and_survives_cuts(shell: str, tmp_path: Path) -> None:
    report = run_kit(options(shell, tmp_path, QUICK))
    assert report.conforms, report.as_table()


@WITH_DASH
def test_nothing_of_a_killed_shell_worker_is_left(shell: str, tmp_path: Path) -> None:
    """Also where a command has much to say, and nobody hears it any more."""
    with Kit(options(shell, tmp_path)) as kit:
        kit.stage.ready()
        session = kit.stage.session()
        kit.stage.begin_shell(session, 1, "while :; do echo more; done")
        kit.master.wait(lambda: len(session.events) > 10, "some of its output")
        worker = kit.stage.worker
        assert worker is not None
        state = worker.output.with_suffix("")
        worker.kill()
        wait_for(lambda: not processes_of(state), 60, lambda: str(processes_of(state)))


@WITH_BUSYBOX
def test_what_is_odd_about_a_command_is_its_own_affair(shell: str, tmp_path: Path) -> None:
    """Its words, its folder, and children that keep its output: it ends, and the next one runs."""
    words = ["printf", "%s|", "", " a  b ", "it's", '"\\', "line\nline\n", "*", "$(echo x)", "ä☃😀", "-n", "\x7f"]
    with Kit(options(shell, tmp_path)) as kit:
        kit.stage.ready()
        session = kit.stage.session()
        kit.stage.run(session, 1, "shell", shell_args("") | {"command": words})
        assert session.data(1, "stdout").decode() == "|".join(words[2:]) + "|"
        kit.stage.run(session, 2, "shell", shell_args("") | {"command": ["touch", "file"], "workdir": "."})
        kit.stage.run(session, 3, "shell", shell_args("echo ran", workdir="file"))
        assert session.data(3, "stdout") == b""
        assert session.updates(3)["rc"] != 0
        kit.stage.run(session, 4, "shell", shell_args("trap '' TERM; setsid sleep 300 & echo left", timeout=1))
        assert session.data(4, "stdout") == b"left\n"
        assert session.updates(4)["failure_reason"] == "timeout_without_output"
        kit.stage.begin_shell(session, 5, "setsid sleep 300 & trap '' TERM INT; sleep 300")
        kit.master.interrupt(session, 5, 'a reason:  two blanks, "quotes" and \\ and ä')
        completed = kit.master.completed(session, 5)
        assert completed.interrupted == 'a reason:  two blanks, "quotes" and \\ and ä'
        kit.stage.shell(session, 6, "echo here")
        assert session.data(6, "stdout") == b"here\n"
        kit.stage.finish(session)


@WITH_DASH
def test_bytes_for_a_download_that_was_interrupted_make_it_deaf_to_nothing(shell: str, tmp_path: Path) -> None:
    with Kit(options(shell, tmp_path)) as kit:
        kit.stage.ready()
        session = kit.stage.session()
        begin_download(kit.stage, session, 1, CONTENT)
        pull = kit.master.wait_for(Pull)
        kit.master.interrupt(session, 1, "no patience")
        kit.master.completed(session, 1)
        incarnation, part = kit.master.incarnation, CONTENT[: pull.length]
        late = Data(session=session.id, incarnation=incarnation, n=1, offset=pull.offset, size=len(CONTENT), data=part)
        kit.master.tell(session, late)
        kit.stage.shell(session, 2, "test ! -e file && echo here")
        assert session.data(2, "stdout") == b"here\n"
        kit.stage.finish(session)
        begin_download(kit.stage, kit.stage.session(), 1, CONTENT)
        kit.master.wait_for(Pull, lambda other: other.session != session.id)
        worker = kit.stage.worker
        assert worker is not None
        state = worker.output.with_suffix("")
        worker.kill()
        wait_for(lambda: not processes_of(state), 60, lambda: str(processes_of(state)))


@WITH_BUSYBOX
def test_a_child_that_ends_while_a_connection_begins_does_not_end_it(shell: str, tmp_path: Path) -> None:
    """Children that end break a call off that waits, as opening a pipe does; busybox's shell ended with that."""
    options(shell, tmp_path)  # its tools
    (tmp_path / "sleep").unlink(missing_ok=True)
    (tmp_path / "sleep").write_text("#!/bin/sh\n")  # one second after the other
    (tmp_path / "sleep").chmod(0o755)
    log = tmp_path / "log"
    worker = Child(
        [*SHELLS[shell], str(WORKER), "board", str(tmp_path / "state"), "cap.x", "x", "false"],
        output=log,
        environment={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )

    def links() -> int:
        """So many have begun and ended, while it was told without a pause that children have ended."""
        for _ in range(1000):
            worker.process.send_signal(signal.SIGCHLD)
        return log.read_text().count("no link to the master") if log.exists() else 0

    try:
        wait_for(lambda: worker.process.poll() is not None or links() >= 100, 120, log.read_text, every=0)
        assert worker.process.poll() is None, log.read_text()
    finally:
        worker.end(signal.SIGKILL)
    wait_for(lambda: not processes_of(tmp_path), 60, lambda: str(processes_of(tmp_path)))


def processes_of(state: Path) -> list[list[str]]:
    """Command lines of those that a worker with this folder has started, or is."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(state) in process.cmdline() or process.cwd().startswith(str(state)):
                found.append(process.cmdline())
    return found
