"""Operators steer an agent through its control queue: drain, resume, leave, stop, restart, probe."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import psutil

from contracts.messages import Claim, Gone, Offer, Resume
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import ScriptedMaster, shell, until


async def address_of(master: ScriptedMaster) -> tuple[str, str]:
    """Address and instance of the one agent, once it consumes cap.any."""
    status = await master.status(lambda status: status.queues == ("cap.any",))
    return status.address, status.instance


async def test_a_drained_agent_ends_its_build_and_stays(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """`drain`: draining while the build runs, then paused, with the reason; nothing is taken; `resume` takes it."""
    master = await open_master("any")
    agent = start_agent()
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    await master.steer("drain", claim.address, claim.instance)
    await master.status(lambda status: status.state == "draining")
    second = await master.offer()
    await master.build(claim, [shell(1, "true")])
    paused = await master.status(lambda status: status.state == "paused")
    assert paused.reasons == ("asked by an operator: test",)
    await master.wait_for_messages("cap.any", 1)
    assert agent.child.running
    assert len(master.all(Claim)) == 1

    await master.steer("resume", paused.address)
    await master.wait_for(Claim, lambda claim: claim.offer == second.offer)


async def test_a_pause_outlives_the_agent(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """A paused agent that is started again is still paused, and takes work once it is resumed."""
    master = await open_master("any")
    agent = start_agent()
    address, _ = await address_of(master)
    await master.steer("drain", address)
    first = await master.status(lambda status: status.state == "paused")
    agent.signal(signal.SIGTERM)
    await until(lambda: not agent.child.running, "the agent to leave")
    agent.child.end()
    offer = await master.offer()
    start_agent()
    again = await master.status(lambda status: status.state == "paused" and status.epoch > first.epoch)
    assert await master.messages_in("cap.any") == 1
    await master.steer("resume", again.address)
    await master.wait_for(Claim, lambda claim: claim.offer == offer.offer)


async def test_orders_reach_only_whom_they_name(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """An order on the broadcast key that names another instance does nothing; one that names none is for all."""
    master = await open_master("any")
    one, two = start_agent("one"), start_agent("two")
    await master.wait_for_consumers("any", 2)
    named = await master.status(lambda status: status.agent == "one")
    await master.steer("stop", "all", instance="somebody-else")
    await master.steer("stop", "all", instance=named.instance)
    await until(lambda: not one.child.running, "the agent that was named to leave")
    assert two.child.running
    await master.steer("leave", "all")
    await until(lambda: not two.child.running, "the other one to leave")
    assert (one.child.end(), two.child.end()) == (0, 0)


async def test_leave_ends_the_build_first(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """`leave`, even twice, lets the build finish; then the agent exits with 0."""
    master = await open_master("any")
    agent = start_agent()
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    await master.steer("leave", claim.address)
    await master.steer("leave", claim.address)
    await master.status(lambda status: status.state == "draining")
    await master.build(claim, [shell(1, "true")])
    await until(lambda: not agent.child.running, "the agent to leave")
    assert agent.child.end() == 0
    assert not master.all(Gone)


async def test_stop_kills_and_gives_back(start_agent: StartAgent, open_master: OpenMaster, tmp_path: Path) -> None:
    """`stop`: the command is dead, the bridge hears `gone`, the offer is in its queue, the agent has left."""
    master = await open_master("any")
    agent = start_agent()
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    pid_file = tmp_path / "pid"
    await master.start(claim, shell(1, "sh", "-c", f"echo $$ > {pid_file}; sleep 1000"))
    pid = int(await until(lambda: pid_file.exists() and pid_file.read_text(), "the command to run"))
    await master.steer("stop", claim.address, claim.instance)
    assert (await master.wait_for(Gone)).session == claim.session
    await until(lambda: not agent.child.running, "the agent to leave")
    assert not psutil.pid_exists(pid)
    await master.wait_for_messages("cap.any", 1)


async def test_restart_keeps_the_command(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """`restart`: the same process begins anew, its session resumes with the command still running."""
    master = await open_master("any")
    agent = start_agent()
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    await master.start(claim, shell(1, "sleep", "1000"))
    await until(lambda: any(event.kind == "started" for event in master.events(claim.session)), "the command to run")
    await master.steer("restart", claim.address)
    resume = await master.wait_for(Resume, lambda resume: resume.epoch > claim.epoch)
    assert [(command.n, command.completed) for command in resume.commands] == [(1, False)]
    assert agent.child.running


async def test_probe_finds_what_was_installed(start_agent: StartAgent, open_master: OpenMaster, tmp_path: Path) -> None:
    """`probe`, as SIGHUP does: a capability that a new file declares is told, and its queue consumed."""
    master = await open_master("any", "gtk", "wx")
    folder = tmp_path / "capabilities.d"
    folder.mkdir()
    agent = start_agent("agent", "--capabilities-d", str(folder))
    address, _ = await address_of(master)
    (folder / "gtk.toml").write_text('[capabilities]\ngtk = "3.24"\n')
    await master.steer("probe", address)
    await master.wait_for_consumers("gtk", 1)
    (folder / "wx.toml").write_text('[capabilities]\nwx = "3.2"\n')
    agent.signal(signal.SIGHUP)
    await master.wait_for_consumers("wx", 1)


async def test_what_went_away_is_not_claimed(start_agent: StartAgent, open_master: OpenMaster, tmp_path: Path) -> None:
    """A tool that vanished between two probes: its offer is given back unclaimed and the agent is off that queue."""
    master = await open_master("mytool")
    tool = tmp_path / "mytool"
    tool.write_text("#!/bin/sh\necho mytool 1.0\n")
    tool.chmod(0o755)
    folder = tmp_path / "capabilities.d"
    folder.mkdir()
    (folder / "mytool.toml").write_text(f'[probe.mytool]\ncommand = "{tool}"\nversion = "mytool ([0-9.]+)"\n')
    agent = start_agent("agent", "--auto-capabilities", "--capabilities-d", str(folder))
    await master.wait_for_consumers("mytool", 1)
    tool.unlink()
    await master.offer("mytool")
    await master.wait_for_consumers("mytool", 0)
    await master.wait_for_messages("cap.mytool", 1)
    assert not master.all(Claim)
    assert "offer_returned_not_qualified" in agent.log


async def test_two_slots_take_two_builds(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """With --slots 2 two builds run side by side, in folders of their own, and the third waits in the queue."""
    master = await open_master("any")
    start_agent("agent", "--slots", "2")
    first, second, _ = [await master.offer() for _ in range(3)]
    claims = {}
    for offer in (first, second):
        claims[offer.offer] = await master.wait_for(Claim, partial(_answers, offer))
        await master.grant(claims[offer.offer])
    for claim in claims.values():
        await master.start(claim, shell(1, "sh", "-c", "pwd; sleep 1000"))
    folders = set()
    for claim in claims.values():
        await until(partial(_printed, master, claim), "pwd's line")
        folders |= {event.data for event in master.events(claim.session) if event.kind == "stdout"}
    assert len(folders) == 2
    await master.wait_for_messages("cap.any", 1)
    assert len(master.all(Claim)) == 2


def _answers(offer: Offer, claim: Claim) -> bool:
    return claim.offer == offer.offer


def _printed(master: ScriptedMaster, claim: Claim) -> bool:
    return any(event.kind == "stdout" for event in master.events(claim.session))
