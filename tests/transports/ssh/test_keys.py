"""Whom sshd and the master let in, and what an agent says of being kept out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.environment import program_environment
from tests.harness.ssh import HOST, SSHClient, make_key
from tests.harness.waiting import wait_for
from tests.transports.ssh.conftest import SSHFleet

AGENT = str(Path(sys.executable).with_name("worker-agent"))
NOTHING = "c['workers'] = worker.amqp_column('any', workers=1, requires=['x'])\nbuilder('b', c['workers'])\n"


def _says(fleet: SSHFleet, text: str, **settings: object) -> None:
    agent = fleet.make_agent(**settings)  # type: ignore[arg-type]
    wait_for(lambda: text in agent.log(), 60, lambda: f"{text}: {agent.log()}")
    assert "link_up" not in agent.log()


def test_a_key_that_sshd_does_not_know(fleet: SSHFleet) -> None:
    fleet.make_master(NOTHING)
    fleet.enroll("agent")
    fleet.server.authorized.write_text("")
    _says(fleet, "takes no key of this machine: put the line that `master-bridge enroll --ssh-key` printed")


@pytest.mark.long
def test_a_key_without_a_forced_command(fleet: SSHFleet) -> None:
    """No shell is asked for, and the agent says what is missing."""
    fleet.make_master(NOTHING)
    client = fleet.enroll("agent")
    fleet.server.authorized.write_text(client.public.read_text())
    _says(fleet, "starts no master-bridge: the key's line in authorized_keys")


@pytest.mark.long
def test_a_changed_host_key(fleet: SSHFleet) -> None:
    fleet.make_master(NOTHING)
    client = fleet.enroll("agent")
    agent = fleet.make_agent()
    wait_for(lambda: "link_up" in agent.log(), 60, agent.log)
    fleet.server.stop()
    fleet.server.new_host_key()
    fleet.server.start()
    wait_for(lambda: "is not the one that this machine knows" in agent.log(), 60, agent.log)
    ups = agent.log().count("] link_up ")
    client.know_host()
    wait_for(lambda: agent.log().count("] link_up ") > ups, 60, agent.log)


def test_an_account_that_is_revoked_is_cut_off_and_kept_out(fleet: SSHFleet) -> None:
    """Though its key is in authorized_keys still."""
    master = fleet.make_master(NOTHING)
    agent = fleet.make_agent()
    wait_for(lambda: "link_up" in agent.log(), 60, agent.log)
    told = fleet.bridge("revoke", "agent").stdout
    assert "remove its line from authorized_keys" in told
    wait_for(lambda: "its account was removed or changed" in agent.log(), 60, agent.log)
    wait_for(lambda: "no account 'agent' with this token, certificate or key" in agent.log(), 60, agent.log)
    assert "agent_not_let_in" in master.log()


def test_a_key_speaks_for_its_own_account_only(fleet: SSHFleet) -> None:
    """Whatever account the agent's URL names."""
    fleet.make_master(NOTHING)
    fleet.enroll("other")
    client = fleet.enroll("agent")
    (fleet.folder / "agent.toml").write_text(
        (fleet.folder / "agent.toml").read_text().replace(f"@{HOST}/agent", f"@{HOST}/other")
    )
    _says(fleet, "the key is account 'agent''s, and the URL names 'other'")
    assert client.processes is not None


def test_the_forced_command_gives_no_shell_and_no_forwarding(fleet: SSHFleet, tmp_path: Path) -> None:
    fleet.make_master(NOTHING)
    client = fleet.enroll("agent")
    ssh = [str(tmp_path / "ssh-agent" / "ssh"), "-o", "BatchMode=yes"]
    trace = tmp_path / "trace"
    ran = subprocess.run(
        [*ssh, HOST, f"touch {trace}"], input=b"0 {}\n", capture_output=True, timeout=60, check=False,
        env=client.environment,
    )  # fmt: skip
    assert not trace.exists()
    assert b'"f":"bye"' in ran.stdout
    forwarded = subprocess.run(
        [*ssh, "-W", f"127.0.0.1:{fleet.server.port}", HOST],
        input=b"", capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert b"SSH-2.0" not in forwarded.stdout


@pytest.mark.long
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\n" * 5000,
        b"SSH-2.0-x\r\n",
        b"ssh other 127.0.0.1\n0 {}\n",
        b"0 {" + b"x" * 100_000,
        b"999999999 {}\n" + b"x" * 100_000,
        b'0 {"f":"beat"}\n',
        bytes(range(256)) * 1000,
    ],
    ids=["nothing", "lines", "ssh", "introduction", "long", "huge", "beat", "bytes"],
)
def test_hostile_input_at_the_forced_command_ends_it_alone(fleet: SSHFleet, said: bytes) -> None:
    fleet.make_master(NOTHING)
    client = fleet.enroll("hostile")
    ran = subprocess.run(
        ["ssh", "-o", "BatchMode=yes", HOST], input=said, capture_output=True, timeout=60, check=False,
        env=client.environment,
    )  # fmt: skip
    assert b"welcome" not in ran.stdout
    agent = fleet.make_agent()
    wait_for(lambda: "link_up" in agent.log(), 60, agent.log)


def test_without_a_master_the_forced_command_says_so(fleet: SSHFleet) -> None:
    fleet.master_folder.mkdir()
    ran = fleet.bridge("serve-agent", "--account", "a", input="")
    assert ran.returncode == 1
    assert "no master that listens for its agents itself runs there" in ran.stderr


def test_only_public_keys_are_enrolled(fleet: SSHFleet, tmp_path: Path) -> None:
    fleet.master_folder.mkdir()
    make_key(tmp_path / "key")
    (tmp_path / "half.pub").write_text((tmp_path / "key.pub").read_text()[:20])
    (tmp_path / "two.pub").write_text((tmp_path / "key.pub").read_text() * 2)
    (tmp_path / "option.pub").write_text('command="x" ' + (tmp_path / "key.pub").read_text())
    for name, problem in (
        ("key", "is a private key"),
        ("half.pub", "copied whole"),
        ("two.pub", "no public key"),
        ("option.pub", "no public key"),
        ("nothing.pub", "No such file"),
    ):
        made = fleet.bridge("enroll", "a", "--ssh-key", str(tmp_path / name))
        assert made.returncode == 1
        assert problem in made.stderr
    assert not (fleet.master_folder / "agents.json").exists()


@pytest.mark.long
def test_two_agents_share_one_key(fleet: SSHFleet) -> None:
    """An account may be several machines'."""
    fleet.make_master(NOTHING)
    agents = [fleet.make_agent(name, account="both") for name in ("one", "two")]
    for agent in agents:
        wait_for(lambda agent=agent: "link_up" in agent.log(), 60, agent.log)


@pytest.mark.long
def test_doctor_says_what_ssh_says(fleet: SSHFleet) -> None:
    """The login, and why there is none."""
    fleet.make_master(NOTHING)
    client = fleet.enroll("agent")

    def doctor() -> subprocess.CompletedProcess[str]:
        command = [AGENT, "--config", "agent.toml", "--state", str(fleet.folder / "state"), "doctor"]
        return subprocess.run(command, cwd=fleet.folder, capture_output=True, text=True, timeout=120, check=False,
                              env=program_environment() | client.environment)  # fmt: skip

    assert "user agent at ssh://ci.test" in doctor().stdout
    fleet.server.authorized.write_text("")
    assert "takes no key of this machine" in doctor().stdout


@pytest.mark.long
def test_a_client_without_ssh_says_what_is_missing(fleet: SSHFleet, tmp_path: Path) -> None:
    fleet.make_master(NOTHING)
    client: SSHClient = fleet.enroll("agent")
    (tmp_path / "ssh-agent" / "ssh").unlink()
    fleet.clients["agent"] = _Nowhere(client, tmp_path)
    _says(fleet, "install OpenSSH's client")


class _Nowhere(SSHClient):
    def __init__(self, client: SSHClient, folder: Path) -> None:
        self.__dict__.update(client.__dict__)
        self._nowhere = folder

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": str(self._nowhere)}
