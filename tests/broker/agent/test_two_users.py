"""The agent and its commands as two users, with a real broker: what a build can reach, and what becomes of it."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from contracts.messages import Claim, Event, Gone, Resume
from tests.broker.agent.conftest import OpenMaster
from tests.broker.agent.scripted_master import ScriptedMaster, until
from tests.broker.agent.two_users import AGENT, BUILD, Installation, as_agent, command, program, script
from worker_agent.agent import errands
from worker_agent.keeper.second_user import SecondUser

SECRET = "amqp://"


@pytest.fixture
def installed(amqp_url: str) -> Iterator[Installation]:
    if os.geteuid() != 0:
        pytest.fail("this test needs root (two users)")
    made = Installation(amqp_url)
    yield made
    made.end()


async def _session(master: ScriptedMaster, installed: Installation, *flags: str) -> Claim:
    await master.offer("gtk")
    installed.start(*flags)
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    return claim


def _text(events: list[Event], n: int, *kinds: str) -> str:
    found = [event for event in events if event.n == n]
    said = b"".join(event.data for event in found if not kinds or event.kind in kinds).decode("utf-8", "replace")
    return said if kinds else said + "".join(f"\n{event.value}" for event in found if event.value is not None)


def _rc(events: list[Event], n: int) -> object:
    updates = [event.value for event in events if event.n == n and event.kind == "update"]
    return next((value for key, value in updates if key == "rc"), None)


async def _folder(installed: Installation) -> Path:
    """Of the only session, when its commands can run."""
    found = await until(lambda: list(installed.state.glob("sessions/*/apart.pid")), "the process that runs commands")
    folder: Path = found[0].parent
    return folder


def _pid(folder: Path, whose: str) -> int:
    return int((folder / f"{whose}.pid").read_text(encoding="utf-8").split()[0])


def _user_of(pid: int) -> str:
    return psutil.Process(pid).username()


async def test_a_build_runs_as_the_other_user_without_any_right(
    installed: Installation, open_master: OpenMaster
) -> None:
    """A main job: its process has the other user's names and no capability; agent and keeper are the agent's user's."""
    master = await open_master("gtk")
    claim = await _session(master, installed)
    await master.start(claim, script(1, "id -un; id -Gn; grep ^Cap /proc/self/status; env; echo made > file; cat file"))
    await master.completed(claim, 1)
    said = _text(master.events(claim.session), 1, "stdout")
    assert said.startswith(f"{BUILD}\n{'nogroup'}\n")
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert f"{name}:\t0000000000000000\n" in said
    home = pwd.getpwnam(BUILD).pw_dir
    assert f"\nHOME={home}\n" in said
    assert f"\nUSER={BUILD}\n" in said
    assert f"\nLOGNAME={BUILD}\n" in said
    assert "WORKER_AGENT" not in said
    assert SECRET not in said
    assert "\nmade\n" in said
    (file,) = installed.builds.glob("*/slot-*/builder/build/file")
    assert file.owner() == BUILD
    keeper = _pid(await _folder(installed), "keeper")
    assert _user_of(keeper) == AGENT
    assert "commands_run_apart" in installed.log
    assert "commands_run_as_the_agent" not in installed.log
    await master.release(claim)


async def test_a_build_reaches_nothing_of_the_agents(installed: Installation, open_master: OpenMaster) -> None:
    """Files, socket, memory, environment, descriptors, signals, tracing and setuid: all are refused."""
    master = await open_master("gtk")
    claim = await _session(master, installed)
    folder = await _folder(installed)
    keeper, apart = _pid(folder, "keeper"), _pid(folder, "apart")
    agent = psutil.Process(keeper).ppid()
    tries = [f"cat {path}" for path in (
        installed.config, installed.url_file, installed.state / "instance.json", folder / "meta.json",
        folder / "events.0000000000000001", folder / "keeper.log",
    )]  # fmt: skip
    tries += [f"ls {installed.state}", f"ls {folder}", f"ls -R {installed.state}/sessions"]
    for pid in (agent, keeper, apart):
        tries += [f"cat /proc/{pid}/{file}" for file in ("environ", "mem", "maps")]
        tries += [f"ls /proc/{pid}/fd", f"ls /proc/{pid}/cwd/", f"ls /proc/{pid}/root/"]
    tries += [f"kill -9 {agent}", f"kill -9 {keeper}"]
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect({str(folder / 'keeper.sock')!r})"
    become = "import os; os.setuid(0)"
    other = f"import os; os.setresuid(*[{pwd.getpwnam(AGENT).pw_uid}] * 3)"
    trace = "import ctypes, os, sys; l = ctypes.CDLL(None, use_errno=True); sys.exit(l.ptrace(16, {pid}, 0, 0) != 0)"
    tries += [f'/usr/bin/python3 -c "{code}"' for code in (connect, become, other)]
    tries += [f'/usr/bin/python3 -c "{trace.format(pid=pid)}"' for pid in (agent, keeper, apart)]
    for n, attempt in enumerate(tries, start=1):
        await master.start(claim, script(n, attempt))
        await master.completed(claim, n)
        await master.stored(claim)
        said = _text(master.events(claim.session), n, "stdout", "stderr")
        assert _rc(master.events(claim.session), n) not in (0, None), (attempt, said)
        assert "denied" in said or "not permitted" in said or "Errno 1" in said or "ptrace" in attempt, (attempt, said)
    assert psutil.pid_exists(agent)
    assert psutil.pid_exists(keeper)
    await master.release(claim)


async def test_files_are_the_other_users_through_links_too(installed: Installation, open_master: OpenMaster) -> None:
    """A link to what is the agent's gives a build no more than it has, whatever command follows it."""
    master = await open_master("gtk")
    secret, state = installed.url_file, installed.state
    claim = await _session(master, installed)
    before = secret.read_text(), sorted(state.iterdir())
    links = f"ln -s {secret} secret; ln -s {state} state; ln -s {installed.config} config"
    links += f"; mkdir mine; ln -s {state} mine/state"
    up = {"workdir": "build", "maxsize": None, "blocksize": 16384}
    commands = [
        script(1, links),
        command(2, "uploadFile", workersrc="secret", keepstamp=False, **up),
        command(3, "uploadDirectory", workersrc="state/sessions", compress=None, **up),
        script(4, "sleep 0.1", logfiles={"x": "secret", "y": {"filename": "state/instance.json", "follow": False}}),
        command(5, "listdir", dir="build/state"),
        command(6, "glob", path="build/state/*"),
        command(7, "cpdir", fromdir="build/state/sessions", todir="build/copy"),
        command(8, "rmfile", path="build/state/instance.json"),
        command(9, "rmdir", dir="build/state/sessions"),
        command(10, "mkdir", dir="build/state/made"),
        command(11, "stat", workdir="build", file="state/instance.json"),
        command(12, "rmdir", dir="build/mine"),
    ]
    for each in commands:
        await master.start(claim, each)
        await master.completed(claim, each.n)
        await master.stored(claim)
    events = master.events(claim.session)
    assert all(SECRET not in _text(events, each.n) for each in commands)
    failed = [n for n in range(2, 12) if n not in (4, 6)]
    assert {n: _rc(events, n) for n in failed if _rc(events, n) in (0, None)} == {}
    assert "Cannot open file" in _text(events, 2)
    assert "Permission denied" in _text(events, 3)
    assert _text(events, 4, "log") == ""
    assert next(event.value for event in events if event.n == 6 and event.kind == "update") == ["files", []]
    assert "Permission denied" in _text(events, 5)
    assert _rc(events, 12) == 0  # the link goes, not where it leads
    assert (secret.read_text(), sorted(state.iterdir())) == before

    for n, path in ((13, "secret"), (14, "config"), (15, "state/instance.json")):
        args = {"workerdest": path, "workdir": "build", "maxsize": None, "blocksize": 16384, "mode": 0o666}
        await master.start(claim, command(n, "downloadFile", **args))
        await master.completed(claim, n)
        assert _rc(master.events(claim.session), n) == 1
        assert "Cannot open file" in _text(master.events(claim.session), n)
    assert (secret.read_text(), sorted(state.iterdir())) == before
    await master.release(claim)


async def test_commands_outlive_the_agent_and_nothing_outlives_a_session(
    installed: Installation, open_master: OpenMaster
) -> None:
    """The main process is killed: its successor takes the session over. A Stop and a release leave no process."""
    master = await open_master("gtk")
    claim = await _session(master, installed)
    background = "sh -c 'exec env -i setsid sleep 1000' >/dev/null 2>&1 & setsid sleep 1001 >/dev/null 2>&1 &"
    waits = script(1, f"{background} echo $$; until [ -e go ]; do sleep 0.05; done; echo went")
    await master.start(claim, waits)
    shell = int(
        (await until(lambda: _text(master.events(claim.session), 1, "stdout").strip(), "its output")).split()[0]
    )
    keeper = _pid(await _folder(installed), "keeper")
    agent = psutil.Process(psutil.Process(keeper).ppid())
    agent.send_signal(signal.SIGKILL)
    installed.start()
    again = await master.wait_for(Resume, lambda resume: resume.epoch > claim.epoch)
    await master.grant(again, stored=len(master.events(claim.session)))
    await master.start(again, waits)
    assert psutil.pid_exists(shell)
    (builder,) = installed.builds.glob("*/slot-*/builder")
    (builder / "build" / "go").touch()
    await master.completed(claim, 1)
    assert "went" in _text(master.events(claim.session), 1, "stdout")
    await master.stored(again)
    await master.start(again, script(2, "sleep 1002"))
    await until(lambda: _running("sleep 1002"), "the second command")
    assert all(_running(f"sleep {seconds}") for seconds in (1000, 1001, 1002))
    await master.release(again)
    await until(lambda: not any(_running(f"sleep {seconds}") for seconds in (1000, 1001, 1002)), "the end of all of it")


async def test_a_killed_main_process_has_its_work_given_back(installed: Installation, open_master: OpenMaster) -> None:
    """By a program that its keeper starts as the agent's user: it ends what runs as the other one."""
    master = await open_master("gtk")
    claim = await _session(master, installed)
    await master.start(claim, script(1, "setsid sleep 1003 & sleep 1004"))
    await until(lambda: _running("sleep 1003") and _running("sleep 1004"), "its processes")
    keeper = _pid(await _folder(installed), "keeper")
    psutil.Process(psutil.Process(keeper).ppid()).kill()
    gone = await master.wait_for(Gone, lambda gone: gone.session == claim.session)
    assert gone.reason == "killed"
    await until(lambda: not (_running("sleep 1003") or _running("sleep 1004")), "the end of all that ran")


@pytest.mark.parametrize("victim", ["keeper", "apart"])
async def test_a_killed_keeper_or_its_process_leaves_nothing(
    installed: Installation, open_master: OpenMaster, victim: str
) -> None:
    """Whichever of both is killed, the session is lost, all that it ran is gone, and the agent works on."""
    master = await open_master("gtk")
    claim = await _session(master, installed)
    left = [f"sleep {len(victim)}00{number}" for number in range(3)]
    await master.start(claim, script(1, f"env -i setsid {left[0]} >/dev/null 2>&1 & setsid {left[1]} & {left[2]}"))
    await until(lambda: all(map(_running, left)), "its processes")
    master.done.add(claim.offer)  # it comes back with the session's end, and is claimed at once
    os.kill(_pid(await _folder(installed), victim), signal.SIGKILL)
    await until(lambda: not any(map(_running, left)), "the end of all that it ran")
    await until(lambda: "is gone: it was killed by signal 9" in installed.log or victim == "keeper", "the reason")
    await until(lambda: not list(installed.state.glob("sessions/*/keeper.sock")), "the end of the session")
    other = await master.offer("gtk")
    again = await master.wait_for(Claim, lambda claim: claim.offer == other.offer)
    await master.grant(again)
    await master.build(again, [script(1, "echo on")])


async def test_two_agents_with_one_user_for_commands_leave_each_other_alone(
    amqp_url: str, installed: Installation, open_master: OpenMaster
) -> None:
    """A session of one agent is killed with all that it ran: the other one's goes on, though it is of the same user."""
    other = Installation(amqp_url)
    try:
        master = await open_master("gtk")
        for each, seconds in ((installed, 3001), (other, 3002)):
            await master.offer("gtk")
            each.start("--slots", "1")
            claim = await master.wait_for(
                Claim, lambda claim: claim.session not in {event.session for event in master.all(Event)}
            )
            await master.grant(claim)
            await master.start(claim, script(1, f"sleep {seconds}"))
            await until(partial(_running, f"sleep {seconds}"), "its command")
        os.kill(_pid(await _folder(installed), "keeper"), signal.SIGKILL)
        await until(lambda: not _running("sleep 3001"), "the end of the one")
        await until(lambda: not list(installed.state.glob("sessions/*/keeper.sock")), "the end of the session")
        assert _running("sleep 3002")
    finally:
        other.end()


async def test_probes_run_as_the_other_user(installed: Installation, open_master: OpenMaster) -> None:
    """A build may have replaced a program that is probed."""
    probes = installed.root / "probes"
    probes.mkdir()
    tool = installed.builds / "tool"
    tool.write_text("#!/bin/sh\nid -un | tr -d '\\n'; echo -1.0\n")
    tool.chmod(0o755)
    (probes / "p.toml").write_text(f'[probe.who]\ncommand = "{tool}"\nversion = "^([a-z]+-1.0)$"\n')
    run = subprocess.run(
        [*as_agent(), *program(), "--config", str(installed.config), "--capabilities-d", str(probes), "capabilities"],
        capture_output=True, text=True, timeout=120, check=False, cwd="/",
    )  # fmt: skip
    assert f"{BUILD}-1.0" in run.stdout, run.stdout + run.stderr


def test_a_process_for_files_that_a_build_stops_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of the same user: stopped or killed, it keeps the agent waiting for a moment only."""
    by_user = errands.ByUser(SecondUser.named(BUILD))
    try:
        assert by_user.do("info", "/no/such/folder") == {}
        for number in (signal.SIGSTOP, signal.SIGKILL):
            (pid,) = by_user.pids
            assert _user_of(pid) == BUILD
            os.kill(pid, number)
            with monkeypatch.context() as patched, contextlib.suppress(OSError):  # the one that was asked of it
                if number == signal.SIGSTOP:  # nothing else tells that it has no answer
                    patched.setattr(errands, "PATIENCE", 1.0)
                by_user.do("info", "/no/such/folder")
            assert by_user.do("info", "/no/such/folder") == {}
            assert by_user.pids != {pid}
        with pytest.raises(PermissionError):
            by_user.do("read", "/etc/shadow", 100)
    finally:
        by_user.close()


def _doctor(installed: Installation, rights: str | None = None, *flags: str) -> str:
    prefix = as_agent() if rights is None else as_agent(rights)
    run = subprocess.run(
        [*prefix, *program(), "--config", str(installed.config), *flags, "doctor"],
        capture_output=True, text=True, timeout=120, check=False, cwd="/",
    )  # fmt: skip
    return run.stdout + run.stderr


def test_doctor_tells_which_holds(installed: Installation) -> None:
    """Two users; one user; secrets that the second can read; and a doctor that may not try."""
    said = _doctor(installed)
    assert "pass  separation" in said
    assert f"commands run as {BUILD}, the agent as {AGENT}: " in said
    said = _doctor(installed, "-all")
    assert "warn  separation" in said
    assert "run this as root" in said
    installed.url_file.chmod(0o644)
    said = _doctor(installed)
    assert "fail  separation" in said
    assert f"{BUILD} can read {installed.url_file}" in said
    installed.url_file.chmod(0o640)
    installed.config.parent.chmod(0o777)
    assert f"{BUILD} can replace what is in {installed.config.parent}" in _doctor(installed)
    installed.config.parent.chmod(0o755)
    installed.config.write_text(installed.config.read_text().replace(f'run_as = "{BUILD}"\n', ""))
    said = _doctor(installed)
    assert "warn  separation" in said
    assert f"the agent's own user, {AGENT}" in said
    assert "--run-as" in said


@pytest.mark.parametrize(
    ("user", "rights", "words"),
    [
        ("no-such-user", None, "there is no user 'no-such-user'"),
        ("root", None, "must not run as root"),
        (AGENT, None, "is the user whom the agent runs as itself"),
        (BUILD, "-all", "AmbientCapabilities=CAP_SETUID CAP_SETGID CAP_KILL"),
        (BUILD, "-all,+setuid,+setgid", "may not end those of that user"),
    ],
)
def test_a_user_that_cannot_be_is_an_error_with_its_remedy(
    installed: Installation, user: str, rights: str | None, words: str
) -> None:
    """The agent does not start."""
    installed.run_as(user)
    prefix = as_agent() if rights is None else as_agent(rights)
    run = subprocess.run(
        [*prefix, *program(), "--config", str(installed.config)],
        capture_output=True, text=True, timeout=120, check=False, cwd="/",
    )  # fmt: skip
    assert run.returncode == 2, run.stderr
    assert f"worker-agent: --run-as {user}: " in run.stderr
    assert words in run.stderr


async def test_without_run_as_the_log_says_so_and_commands_inherit_no_right(
    installed: Installation, open_master: OpenMaster
) -> None:
    """An agent that was given the capabilities, and no other user, keeps them from its commands."""
    text = (
        installed.config.read_text()
        .replace(f'run_as = "{BUILD}"\n', "")
        .replace(f'basedir = "{installed.builds}"\n', "")
    )
    installed.config.write_text(text)
    master = await open_master("gtk")
    claim = await _session(master, installed)
    await master.start(claim, script(1, "id -un; grep ^Cap /proc/self/status"))
    await master.completed(claim, 1)
    said = _text(master.events(claim.session), 1, "stdout")
    assert said.startswith(f"{AGENT}\n")
    for name in ("CapPrm", "CapEff", "CapAmb"):
        assert f"{name}:\t0000000000000000\n" in said
    assert "commands_run_as_the_agent" in installed.log
    await master.release(claim)


def _of_build_user() -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["username"]) if process.info["username"] == BUILD]


def _running(line: str) -> bool:
    for process in _of_build_user():
        try:
            if " ".join(process.cmdline()) == line:
                return True
        except psutil.Error:
            continue
    return False
