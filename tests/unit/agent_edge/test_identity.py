"""Who an agent is, and where it keeps that: whatever it finds, it says so in plain words or goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from contracts.messages import SlotStatus
from tests.harness.waiting import wait_for
from worker_agent.agent.instance import Instance
from worker_agent.agent.lifetime import Lifetime
from worker_agent.state_files import StateUnreadable

AGENT = (sys.executable, "-m", "worker_agent")
NOBODY_THERE = "amqp://127.0.0.1:1/"
#: A mount namespace of its own in which the password database is empty.
NO_PASSWD = (
    "unshare", "--mount", "sh", "-c",
    'for file in /etc/passwd /etc/nsswitch.conf; do mount --bind /dev/null $file; done; exec "$@"', "sh",
)  # fmt: skip
#: One in which no temporary folder can be written to, and /mnt can.
NO_TEMPORARY = (
    "unshare", "--mount", "sh", "-c",
    "mount -t tmpfs tmpfs /mnt; for place in /tmp /var/tmp; do mount -t tmpfs -o ro tmpfs $place; done; "
    'cd /proc; exec "$@"', "sh",
)  # fmt: skip


def _environment(**more: str) -> dict[str, str]:
    known = {key: value for key, value in os.environ.items() if not key.startswith(("WORKER_AGENT_", "XDG_"))}
    for name in ("HOME", "TMPDIR", "TEMP", "TMP"):
        known.pop(name, None)
    return {**known, "WORKER_AGENT_AMQP_URL": NOBODY_THERE, **more}


def _ended(command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> tuple[int, str]:
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, timeout=120, check=False, stdin=subprocess.DEVNULL
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def _until_it_says(command: Sequence[str], environment: Mapping[str, str], word: str, log: Path) -> str:
    """Start an agent, wait for `word` in its log, have it leave; its log. It must leave as asked."""
    with log.open("wb") as sink:
        agent = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: word in log.read_text(), 60, lambda: f"{word} in:\n{log.read_text()}")
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(60) == 0, log.read_text()
    finally:
        agent.kill()
        agent.wait()
    return log.read_text()


@pytest.mark.parametrize("text", ["", "\n", "\0" * 4096])
def test_an_empty_identity_is_made_anew(tmp_path: Path, text: str) -> None:
    """What a loss of power leaves of a file: nothing. Nobody has to come and remove it."""
    first = Instance(tmp_path)
    first.close()
    (tmp_path / "instance.json").write_text(text)
    again = Instance(tmp_path)
    assert again.uuid != first.uuid
    assert again.next_epoch() == 1
    again.close()
    assert json.loads((tmp_path / "instance.json").read_text()) == {"uuid": again.uuid, "epoch": 1}


@pytest.mark.parametrize(
    "content",
    [
        b"{", b"[]", b"5", b"null", b'"x"', b"{}", b'{"uuid": "u"}', b'{"uuid": 5, "epoch": 1}', b"\xff\xfe",
        b'{"uuid": "", "epoch": 1}', b'{"uuid": "a b", "epoch": 1}', b'{"uuid": "u", "epoch": -1}', b"[" * 100_000,
        b'{"uuid": "u", "epoch": "1"}', b'{"uuid": "u", "epoch": true}', b'{"uuid": "u", "epoch": 1.5}',
        b'{"uuid": "\\udce9", "epoch": 1}',
    ],
)  # fmt: skip
def test_an_identity_of_nonsense_is_named(tmp_path: Path, content: bytes) -> None:
    """It may be somebody's: the agent says what to do, and changes nothing."""
    (tmp_path / "instance.json").write_bytes(content)
    with pytest.raises(StateUnreadable, match="remove it"):
        Instance(tmp_path)
    assert (tmp_path / "instance.json").read_bytes() == content


def test_columns_of_an_agent_that_cannot_be_known(tmp_path: Path) -> None:
    """The subcommand that reads what another process has written names the file."""
    (tmp_path / "told.json").mkdir()
    code, said = _ended([*AGENT, "--state", str(tmp_path), "columns", "--wait", "1"], _environment(HOME="/"))
    assert (code, "Traceback" in said) == (1, False), said
    assert str(tmp_path / "told.json") in said


@pytest.mark.parametrize("arguments", ["capabilities", "doctor --json", "--help"])
def test_an_answer_that_cannot_be_written(arguments: str, tmp_path: Path) -> None:
    """To a full disk: said in plain words, with a status that tells it."""
    shell = f'exec "$@" {arguments} >/dev/full'
    code, said = _ended(["sh", "-c", shell, "sh", *AGENT, "--state", str(tmp_path)], _environment(HOME="/"))
    assert (code, said) == (74, "worker-agent: No space left on device\n")


def test_what_else_may_be_in_its_place(tmp_path: Path) -> None:
    """A folder, a file where the state folder is to be, a lock that is none."""
    (tmp_path / "a" / "instance.json").mkdir(parents=True)
    (tmp_path / "b").touch()
    (tmp_path / "c" / "instance.lock").mkdir(parents=True)
    for name in ("a", "b", "c"):
        code, said = _ended([*AGENT, "--state", str(tmp_path / name)], _environment(HOME="/"))
        assert (code, "Traceback" in said) == (73, False), said
        assert str(tmp_path / name) in said


@pytest.mark.root
@pytest.mark.parametrize("arguments", [(), ("capabilities",), ("doctor",), ("columns",), ("--name", "x", "run")])
def test_nobody_knows_where_home_is(arguments: tuple[str, ...]) -> None:
    """HOME is not set, and the password database does not know this user: what to give is said."""
    code, said = _ended([*NO_PASSWD, *AGENT, *arguments], _environment())
    assert (code, "Traceback" in said) == (2, False), said
    assert "--state" in said
    assert "HOME" in said


@pytest.mark.root
def test_without_a_home_but_with_a_state_folder(tmp_path: Path) -> None:
    """Then nothing is missing; a path of somebody's home is refused by its name."""
    command = [*NO_PASSWD, *AGENT, "--state", str(tmp_path / "state")]
    said = _until_it_says(command, _environment(), "broker_unreachable", tmp_path / "log")
    assert "Traceback" not in said
    for flag in ("--basedir", "--capabilities-d", "--tls-ca", "--trusted-key", "--url-file", "--config"):
        code, said = _ended([*command, flag, "~/there"], _environment())
        assert (code, "Traceback" in said) == (2, False), said
        assert f"{flag}: " in said


def test_the_working_directory_is_gone(tmp_path: Path) -> None:
    """A relative path has no meaning then; a whole one has."""
    gone = tmp_path / "gone"
    gone.mkdir()
    leave = ("sh", "-c", f'cd {gone}; rmdir {gone}; exec "$@"', "sh")
    code, said = _ended([*leave, *AGENT, "--state", "state"], _environment(HOME="/"))
    assert (code, "Traceback" in said) == (2, False), said
    assert "--state" in said
    command = [*leave, *AGENT, "--state", str(tmp_path / "state")]
    assert "Traceback" not in _until_it_says(command, _environment(HOME="/"), "broker_unreachable", tmp_path / "log")


@pytest.mark.root
def test_no_temporary_folder_can_be_used(tmp_path: Path) -> None:
    """The agent is unwell and says so."""
    command = [*NO_TEMPORARY, *AGENT, "--state", "/mnt/state"]
    said = _until_it_says(command, _environment(HOME="/"), "no usable temporary folder", tmp_path / "log")
    assert "unwell" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_in_its_first_second(tmp_path: Path, number: signal.Signals) -> None:
    """It leaves as asked and says so, or it ends of the signal with a status that tells it; never with a traceback."""
    for tenths in range(8):
        with (tmp_path / "log").open("wb") as log:
            agent = subprocess.Popen(
                [*AGENT, "--state", str(tmp_path / "state")], env=_environment(HOME="/"), stdout=log, stderr=log
            )
        try:
            agent.wait(0.1 * tenths + 0.05)
        except subprocess.TimeoutExpired:
            agent.send_signal(number)
        code = agent.wait(60)
        said = (tmp_path / "log").read_text()
        if "draining" in said:
            assert code == 0, said
        else:
            assert code != 0, said
        assert "worker_agent/" not in said, said  # a traceback of Python's own start is none of ours


IDLE, HELD = (SlotStatus(state="idle"),), (SlotStatus(state="held"),)


def test_an_agent_that_is_to_stay_leaves_by_itself_again() -> None:
    """Resumed by an operator it counts its idleness and its time anew."""
    idle = Lifetime(now=0.0, after_idle=10.0, after_build=False, max_uptime=None)
    assert idle.look(IDLE, 10.0)
    idle.stay(11.0)
    assert (idle.reason, idle.deadline) == (None, 21.0)
    assert not idle.look(IDLE, 20.9)
    assert idle.look(IDLE, 21.0)
    old = Lifetime(now=0.0, after_idle=None, after_build=False, max_uptime=10.0)
    assert old.look(HELD, 10.0)
    old.stay(11.0)
    assert not old.look(IDLE, 20.9)
    assert old.look(IDLE, 21.0)


def test_an_agent_of_one_build_that_is_to_stay_leaves_after_the_next() -> None:
    """The build that it holds when it is told to stay is not the one to leave after."""
    life = Lifetime(now=0.0, after_idle=None, after_build=True, max_uptime=None)
    assert life.look(HELD, 1.0)
    life.stay(2.0)
    assert not life.look(HELD, 3.0)
    assert not life.look(IDLE, 4.0)
    assert life.look(HELD, 5.0)
