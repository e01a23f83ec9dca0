"""An agent's command line, read in a process of its own, so that click is not in the agent's memory."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

import pytest

from contracts.operations.exit_status import ExitStatus
from worker_agent.program.cli import make_cli
from worker_agent.program.loading import Given, settings_of
from worker_agent.program.reading import read_apart
from worker_agent.program.run import SIGNALS

URL = "amqp://h/"


def read(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Given | None:
    monkeypatch.setattr(sys, "argv", ["worker-agent", *arguments])
    return read_apart()


def test_it_is_given_what_the_command_line_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, numbers as text, flags both ways, options that are repeated, and a file; bytes that are no UTF-8, too."""
    odd = os.fsdecode(b"/builds-\xff")
    given = read(
        monkeypatch, "--url", URL, "--slots", "2", "--auto-capabilities", "--capability", "a", "--capability", "b=1",
        "--basedir", odd, "--no-exit-after-build", "--config", "here.toml",
    )  # fmt: skip
    assert given is not None
    assert given.present == {
        "amqp_url": URL, "slots": "2", "auto_capabilities": True, "capability": ("a", "b=1"), "basedir": odd,
        "exit_after_build": False,
    }  # fmt: skip
    assert (given.config, given.subcommand) == (Path("here.toml"), False)


def test_the_subcommand_that_works_is_read_apart_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """`worker-agent run` is an agent, too; its command line ends with a word that is none of the options."""
    given = read(monkeypatch, "--url", URL, "run")
    assert given is not None
    assert (given.present, given.subcommand) == ({"amqp_url": URL}, True)


NO_AGENTS = (
    ("--help",), ("--version",), ("check",), ("run", "--help"), ("run", "more"), ("--slot", "1"),
    ("--log-format", "x"), ("no-such-subcommand",),
)  # fmt: skip


@pytest.mark.parametrize("arguments", NO_AGENTS, ids=" ".join)
def test_whatever_is_no_agent_is_read_where_it_is_heard(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """Questions, other subcommands and mistakes: nothing is printed by the process that reads, or twice."""
    assert read(monkeypatch, *arguments) is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", sorted(set(make_cli().commands) - {"run"}))
def test_the_process_that_reads_carries_no_subcommand_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """It did all of them, with nobody to hear it, before they were done: `doctor` and `capabilities` looked twice,
    `columns` waited twice, `attach` said nothing of being attached."""

    def begun(_given: Given) -> NoReturn:
        (tmp_path / "begun").touch()
        raise SystemExit(0)

    monkeypatch.setattr("worker_agent.program.subcommands.settings_of", begun)
    assert read(monkeypatch, "--url", URL, name) is None
    assert not (tmp_path / "begun").exists()


def test_a_part_of_what_the_process_that_reads_says_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may kill it, for want of memory say, in the middle."""

    def killed(_said: object, pipe: TextIO) -> NoReturn:
        pipe.write('[{"amqp_url"')
        pipe.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    monkeypatch.setattr(json, "dump", killed)
    assert read(monkeypatch, "--url", URL) is None


def test_without_a_descriptor_for_it_the_command_line_is_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pipe() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", no_pipe)
    assert read(monkeypatch, "--url", URL) is None


def test_without_a_process_for_it_the_command_line_is_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on processes is no reason not to begin; no descriptor is left open."""

    def no_process() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", no_process)
    before = os.listdir("/proc/self/fd")
    assert read(monkeypatch, "--url", URL) is None
    assert os.listdir("/proc/self/fd") == before


def test_a_wrong_setting_ends_it_with_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a command line that click has nothing against: status 2, and one line for each mistake."""
    with pytest.raises(SystemExit) as ended:
        settings_of(Given({"amqp_url": URL, "slots": "none"}, None))
    assert ended.value.code == ExitStatus.USAGE
    assert "--slots" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("--slot", "1"), "Error: No such option"), (("--slots", "none"), "worker-agent: --slots")],
)
def test_the_program_says_once_what_is_wrong(arguments: tuple[str, ...], says: str) -> None:
    """Whether click finds it, or the settings."""
    program = [sys.executable, "-m", "worker_agent", "--url", URL, *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count(says)) == (ExitStatus.USAGE, "", 1), done.stderr


def _ignore_ends() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def _block_all() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


#: What the program has when it has read its command line, instead of working.
_SHOWN = """
import signal, sys
sys.argv = ["worker-agent", "--url", "amqp://h/"]
from worker_agent import __main__
def shown(given):
    print(signal.getsignal(signal.SIGCHLD).name, *sorted(n.name for n in signal.pthread_sigmask(signal.SIG_BLOCK, ())))
from worker_agent.program import run
run.work = shown
__main__.main()
"""


@pytest.mark.parametrize("inherited", [_ignore_ends, _block_all])
def test_it_hears_of_the_ends_of_its_children_whoever_starts_it(inherited: Callable[[], None]) -> None:
    """Ignored, the end of the process that reads was an error; blocked, no command of a build would ever end. Orders
    are let in when the agent listens: those that came in a restart in place wait for it."""
    done = subprocess.run(
        [sys.executable, "-c", _SHOWN], capture_output=True, text=True, check=False, preexec_fn=inherited
    )
    handler, *blocked = done.stdout.split()
    orders = {number.name for number in SIGNALS} if inherited is _block_all else set()
    assert (handler, set(blocked)) == ("SIG_DFL", orders), done.stderr
