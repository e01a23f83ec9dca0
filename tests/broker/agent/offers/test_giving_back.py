"""The main process alone is killed, and nobody starts it again: what it held is given back at once."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
from pathlib import Path

import psutil
import pytest

from contracts.messages import Claim, Gone, Resume
from tests.broker.agent.conftest import AgentProcess, OpenMaster, StartAgent
from tests.broker.agent.scripted_master import ScriptedMaster, until
from tests.broker.agent.two_users import script
from worker_agent.keeper.giving_back import GIVE_BACK_AFTER


def _seconds() -> int:
    """By which a test knows its own commands, also from those that an earlier test has left."""
    return random.randrange(10_000, 1_000_000)


async def _running(master: ScriptedMaster, sleeps: int) -> Claim:
    """A session whose command sleeps for so long, which nothing else on this machine does."""
    request = f"br-{sleeps}"
    await master.offer("any", request=request)
    claim = await master.wait_for(Claim, lambda claim: claim.request == request)
    await master.grant(claim)
    await master.start(claim, script(1, f"setsid sleep {sleeps} & exec sleep {sleeps}"))
    await until(lambda: len(_sleeping(sleeps)) == 2, "both processes of the command")
    return claim


def _sleeping(seconds: int) -> list[psutil.Process]:
    return [
        process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == ["sleep", str(seconds)]
    ]


def _programs(agent: AgentProcess) -> list[str]:
    """Command lines with this agent's name in them."""
    found = psutil.process_iter(["cmdline"])
    return [
        line for line in (" ".join(it.info["cmdline"] or ()) for it in found) if f"--name {agent.folder.name} " in line
    ]


def _has_open(process: psutil.Process, path: Path) -> bool:
    try:
        return str(path) in [file.path for file in process.open_files()]
    except psutil.Error:  # it has ended meanwhile
        return False


def _waited_for(state: Path) -> bool:
    """A main process waits for this state folder."""
    folder = os.open(state, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
    return False


@pytest.mark.parametrize(
    ("name", "words"), [("killed", ()), ("killed", ("run",)), ("run", ())], ids=["plain", "run", "called run"]
)
async def test_masters_are_told_and_the_state_folder_is_free(
    start_agent: StartAgent, open_master: OpenMaster, name: str, words: tuple[str, ...]
) -> None:
    """Long before the ten seconds after which a keeper gives up; the next main process finds nothing."""
    master, sleeps = await open_master("any"), _seconds()
    agent = start_agent(name, *words, *(() if words else ("--name", name)))
    claim = await _running(master, sleeps)
    agent.kill()
    gone = await master.wait_for(Gone, lambda gone: gone.session == claim.session)
    assert (gone.reason, gone.detail) == ("killed", "the agent was stopped")
    await until(lambda: not _sleeping(sleeps), "the end of all that it ran")
    await until(lambda: not _programs(agent), "the end of the program that gave it back")
    again = start_agent(name, *words)
    await until(lambda: "link_up" in again.log.split("agent_started")[-1], "the next start's link")
    assert "session_found" not in again.log.split("agent_started")[-1]


async def test_all_sessions_are_given_back(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """Each keeper starts the program; one of them has the state folder, and speaks for all."""
    master, several = await open_master("any"), [_seconds() for _ in range(3)]
    agent = start_agent("killed", "--slots", "3")
    claims = [await _running(master, seconds) for seconds in several]
    agent.kill()
    for claim in claims:
        await master.wait_for(Gone, lambda gone, claim=claim: gone.session == claim.session)
    await until(lambda: not any(map(_sleeping, several)), "the end of all that they ran")
    await until(lambda: not _programs(agent), "the end of the programs")


async def test_an_agent_that_is_started_meanwhile_takes_it_up(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """The program that gives back has the state folder already when the next main process asks for it."""
    master, sleeps = await open_master("any"), _seconds()
    agent = start_agent("killed")
    claim = await _running(master, sleeps)
    agent.kill()
    state = agent.folder / "state"
    giving_back: list[psutil.Process] = []

    def has_the_lock() -> bool:
        # of all processes that takes so long on a busy machine that the program has done its work by then
        programs = [it for it in psutil.process_iter(["cmdline"]) if "give-back" in (it.info["cmdline"] or ())]
        giving_back[:] = [it for it in programs if _has_open(it, state / "instance.lock")]
        return bool(giving_back)

    await until(has_the_lock, "the program that gives back")
    giving_back[0].suspend()
    again = start_agent("killed")
    await until(lambda: _waited_for(state) or again.log.count("agent_started") == 2, "the next agent")
    giving_back[0].resume()
    await master.wait_for(Resume, lambda resume: resume.session == claim.session and resume.epoch > claim.epoch)
    await until(lambda: "link_up" in again.log.split("agent_started")[-1], "its link")
    assert not master.all(Gone)
    assert len(_sleeping(sleeps)) == 2


async def test_a_service_manager_is_left_to_its_work(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """It starts the agent again, whose session goes on."""
    master, sleeps = await open_master("any"), _seconds()
    environment = {"NOTIFY_SOCKET": "/nowhere/notify"}
    agent = start_agent("watched", environment=environment)
    claim = await _running(master, sleeps)
    agent.kill()
    await asyncio.sleep(4 * GIVE_BACK_AFTER)
    assert not _programs(agent)
    start_agent("watched", environment=environment)
    await master.wait_for(Resume, lambda resume: resume.session == claim.session and resume.epoch > claim.epoch)
    assert not master.all(Gone)
    assert len(_sleeping(sleeps)) == 2


async def test_a_planned_restart_gives_nothing_back(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """The next main process has the session, and leaves word anew: killed, it has it given back."""
    master, sleeps = await open_master("any"), _seconds()
    agent = start_agent("restarted")
    claim = await _running(master, sleeps)
    agent.signal(signal.SIGUSR2)
    await until(lambda: "restarting" in agent.log, "its order")
    await master.wait_for(Resume, lambda resume: resume.session == claim.session and resume.epoch > claim.epoch)
    agent.kill()
    await master.wait_for(Gone, lambda gone: gone.session == claim.session)
    assert len(master.all(Gone)) == 1
