"""An agent leaves: drained, stopped, restarted in place, or by itself; what it holds is never lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from contracts.messages import Claim, Gone, Resume
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import shell, until


async def test_sigterm_lets_the_build_finish(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """On SIGTERM the agent ends its session, takes no new one, says that it leaves and exits with 0."""
    master = await open_master("any")
    agent = start_agent()
    first = await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    agent.signal(signal.SIGTERM)
    await master.status(lambda status: status.state == "draining")
    await master.offer()
    await master.build(claim, [shell(1, "echo", "late")])

    await until(lambda: not agent.child.running, "the agent to leave")
    assert agent.child.end() == 0
    assert (await master.status(lambda status: status.state == "leaving")).agent == "agent"
    assert [claim.offer for claim in master.all(Claim)] == [first.offer]
    assert await master.messages_in("cap.any") == 1


async def test_a_second_sigterm_gives_the_work_back_at_once(
    start_agent: StartAgent, open_master: OpenMaster, tmp_path: Path
) -> None:
    """The second SIGTERM kills the running command, says `gone`, and the offer is in its queue again."""
    master = await open_master("any")
    agent = start_agent()
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    pid_file = tmp_path / "pid"
    await master.start(claim, shell(1, "sh", "-c", f"echo $$ > {pid_file}; sleep 1000"))
    pid = int(await until(lambda: pid_file.exists() and pid_file.read_text(), "the command to run"))
    agent.signal(signal.SIGTERM)
    await master.status(lambda status: status.state == "draining")
    agent.signal(signal.SIGTERM)

    await until(lambda: not agent.child.running, "the agent to leave")
    assert agent.child.end() == 0
    assert not psutil.pid_exists(pid)
    assert (await master.wait_for(Gone)).session == claim.session
    await master.wait_for_messages("cap.any", 1)


async def test_a_restart_in_place_keeps_the_command(
    start_agent: StartAgent, open_master: OpenMaster, tmp_path: Path
) -> None:
    """On SIGUSR2 the agent begins anew under the same pid; the running command never notices and its log is whole."""
    master = await open_master("any")
    agent = start_agent()
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    go_on = tmp_path / "go-on"
    script = f"echo $$; while [ ! -e {go_on} ]; do sleep 0.1; done; echo end"
    await master.start(claim, shell(1, "sh", "-c", script))
    await until(lambda: any(event.kind == "stdout" for event in master.events(claim.session)), "the first line")
    agent.signal(signal.SIGUSR2)

    resume = await master.wait_for(Resume, lambda resume: resume.epoch > claim.epoch)
    assert (resume.session, [command.completed for command in resume.commands]) == (claim.session, [False])
    await master.grant(resume, stored=len(master.events(claim.session)))
    await master.start(resume, shell(1, "sh", "-c", script))
    go_on.touch()
    await master.completed(claim, 1)
    output = b"".join(event.data for event in master.events(claim.session) if event.kind == "stdout").split()
    assert len(output) == 2
    assert output[1] == b"end"
    assert agent.child.running
    await master.release(resume)
    second = await master.offer()
    await master.wait_for(Claim, lambda claim: claim.offer == second.offer)


async def test_the_password_survives_a_restart_and_builds_never_see_it(
    start_agent: StartAgent, open_master: OpenMaster
) -> None:
    """After a restart in place the agent still reaches the broker; a command's environment has nothing of the agent."""
    master = await open_master("any")
    agent = start_agent()
    await master.wait_for_consumers("any", 1)
    agent.signal(signal.SIGUSR2)
    await until(lambda: agent.log.count("link_up") == 2, "the second link")
    await master.offer()
    claim = await master.wait_for(Claim)
    assert not [name for name in claim.worker.environ if name.startswith("WORKER_AGENT_")]
    await master.grant(claim)
    await master.build(claim, [shell(1, "env")])
    output = b"".join(event.data for event in master.events(claim.session)).decode()
    assert "PATH=" in output
    assert "WORKER_AGENT" not in output


@pytest.mark.parametrize(
    "flags", [("--exit-after-idle", "0.5"), ("--max-uptime", "0.5")], ids=["idle", "up for too long"]
)
async def test_it_leaves_by_itself(start_agent: StartAgent, open_master: OpenMaster, flags: tuple[str, ...]) -> None:
    """An idle agent leaves after its time, with status 0."""
    await open_master("any")
    agent = start_agent("agent", *flags)
    await until(lambda: not agent.child.running, "the agent to leave")
    assert agent.child.end() == 0


async def test_it_leaves_after_one_build(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """With --exit-after-build the agent runs one build to its end and leaves the next one in the queue."""
    master = await open_master("any")
    await master.offer()
    await master.offer()
    agent = start_agent("agent", "--exit-after-build")
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    await master.build(claim, [shell(1, "true")])
    await until(lambda: not agent.child.running, "the agent to leave")
    assert agent.child.end() == 0
    assert len(master.all(Claim)) == 1
    await master.wait_for_messages("cap.any", 1)


async def test_a_second_agent_on_one_state_folder_is_refused(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """Two agents cannot be the same instance: the second says so and exits with 73."""
    master = await open_master("any")
    start_agent()
    await master.wait_for_consumers("any", 1)
    second = start_agent()
    await until(lambda: not second.child.running, "the second agent to give up")
    assert second.child.end() == 73
    assert "another worker agent works with" in second.log


@pytest.mark.root
async def test_a_restart_in_place_keeps_its_state_when_the_host_is_renamed(
    start_agent: StartAgent, open_master: OpenMaster, tmp_path: Path
) -> None:
    """Nobody named the agent or its folder: both follow the host's name, but not in the middle of a command.

    SIGTERM right behind SIGUSR2 finds a program that takes no orders yet: it waits, and is the drain that it always is.
    """
    master = await open_master("any")
    rename = "import socket; socket.sethostname('{}')"
    agent = start_agent(
        prefix=("unshare", "--uts", "sh", "-c", f'{sys.executable} -c "{rename.format("before")}"; exec "$@"', "sh"),
        environment={"WORKER_AGENT_STATE": None, "XDG_STATE_HOME": str(tmp_path / "states")},
        named=False,
    )
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    go_on = tmp_path / "go-on"
    command = shell(1, "sh", "-c", f"echo begin; while [ ! -e {go_on} ]; do sleep 0.1; done; echo end")
    await master.start(claim, command)
    await until(lambda: any(event.kind == "stdout" for event in master.events(claim.session)), "the first line")
    enter = ["nsenter", "--target", str(agent.child.pid), "--uts", sys.executable, "-c", rename.format("after")]
    subprocess.run(enter, check=True)
    agent.signal(signal.SIGUSR2)
    agent.signal(signal.SIGUSR2)
    await until(lambda: "restarting" in agent.log, "the restart to begin")
    agent.signal(signal.SIGTERM)
    resume = await master.wait_for(Resume, lambda resume: resume.epoch > claim.epoch)
    assert (resume.session, resume.instance, resume.agent) == (claim.session, claim.instance, "after")
    await master.grant(resume, stored=len(master.events(claim.session)))
    await master.start(resume, command)
    go_on.touch()
    await master.completed(claim, 1)
    await master.release(resume)
    await until(lambda: not agent.child.running, "the agent to leave")
    assert agent.child.end() == 0
    assert [path.name for path in (tmp_path / "states" / "worker-agent").iterdir()] == ["before"]


async def test_a_resumed_agent_leaves_by_itself_again(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """Up for too long it drains; an operator resumes it; after the same time it drains again."""
    master = await open_master("any")
    agent = start_agent("agent", "--max-uptime", "3")
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    await until(lambda: agent.log.count("draining") == 1, "the agent to drain")
    await master.steer("resume", claim.address)
    await until(lambda: agent.log.count("draining") == 2, "the agent to drain again")
    await master.release(claim)
    await until(lambda: not agent.child.running, "the agent to leave")
    assert agent.child.end() == 0
