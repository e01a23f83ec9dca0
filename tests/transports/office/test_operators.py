"""What operators see and do over a master that is its own broker: the same commands, by an account or by its folder."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contracts import topology
from contracts.codec import encode
from contracts.frames.codec import pack
from contracts.frames.frames import Carried, ConsumeFrom, Frame, Say, Settle, Welcome
from contracts.messages import Command, Offer
from contracts.operations.office_url import parse_office_url
from master_bridge.cli import main
from master_bridge.link.office import accounts
from master_bridge.link.office.own_socket import OWN_OPERATOR, SOCKET_FILE
from master_bridge.operating.errors import Unreachable
from master_bridge.operating.office.link import connect_to_office
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.transports.office.conftest import Fleet
from tests.transports.wires.door import hello, next_frame, run
from worker_agent.link.frames.amp import open_amp

CONFIG = """
c['collapseRequests'] = False
c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk>=3"])
builder("gtk", c['workers'], steps.ShellCommand(command="while [ ! -e {stop} ]; do sleep 0.1; done"))
"""


@pytest.fixture
def master(fleet: Fleet, tmp_path: Path) -> BuildMaster:
    made = fleet.make_master(CONFIG.replace("{stop}", str(tmp_path / "stop")))
    wait_for(lambda: (made.folder / SOCKET_FILE).exists(), 60, lambda: made.log()[-4000:])
    return made


@pytest.fixture
def operator(master: BuildMaster, fleet: Fleet) -> Callable[..., Result]:
    """`master-bridge ARGUMENTS` as somebody at another machine: with an operator's account."""
    token = accounts.add(master.folder / accounts.ACCOUNTS_FILE, "desk", role="operator")
    url = f"amps://desk:{token}@127.0.0.1:{fleet.port}?fingerprint={fleet.fingerprint()}"

    def call(*arguments: str, expect: int = 0, **environment: str) -> Result:
        environment = environment or {"MASTER_BRIDGE_URL": url}
        result = CliRunner().invoke(main, arguments, env={"COLUMNS": "200", **environment})
        assert result.exit_code == expect, (arguments, result.output, result.exception)
        return result

    return call


def test_the_same_commands_see_and_steer_the_fleet(
    master: BuildMaster, fleet: Fleet, operator: Callable[..., Result], tmp_path: Path
) -> None:
    """Fleet, queues, why, demand, doctor and orders, over TLS with a token and through the master's folder."""
    agent = fleet.make_agent("able", capabilities=["gtk=3.24"])
    fleet.make_agent("other", capabilities=["gtk=2.24"])
    request = master.force("gtk")
    master.started(request)
    waiting = [master.force("gtk") for _ in range(2)]

    def told() -> dict[str, object]:
        return json.loads(operator("fleet", "--json").output)  # type: ignore[no-any-return]

    seen = wait_for(lambda: len(found := told()["agents"]) == 2 and found, 60, lambda: str(told()))  # type: ignore[arg-type]
    assert sorted(each["agent"] for each in seen) == ["able@agents", "other@agents"]  # type: ignore[index,attr-defined]
    own = {"MASTER_BRIDGE_MASTER_DIR": str(master.folder)}
    for where in ({}, own):
        assert "waits" in operator("why", f"br-{waiting[0]}", **where).output
        assert "runs on able" in operator("why", f"br-{request}", **where).output
        queues = {each["name"]: each for each in json.loads(operator("queues", "--json", **where).output)}
        assert queues["cap.gtk:ge:3"]["ready"] == 1, "the second build has a worker, the third none"
        assert queues["cap.gtk:ge:3"]["held"] == 1
        assert queues["claims.m1"]["held"] == 1, "the session's accept"
        assert {"dead", "parked", "events.m1"} < queues.keys()
        assert operator("demand", "gtk>=3", **where).output.strip() >= "2"
        assert "1 masters and 2 agents are alive" in operator("doctor", **where).output
        assert "looks after RabbitMQ" in operator("migrate", expect=2, **where).output
    assert "ends what it holds and takes nothing new" in operator("drain", "able@agents").output
    wait_for(lambda: "paused" in agent.log() or "draining" in operator("fleet").output, 60, agent.log)
    operator("resume", "able@agents", "--wait", "30")
    (tmp_path / "stop").touch()
    for each in (request, *waiting):
        assert master.finished(each).result == "SUCCESS"
    operator("stop", "--match", "any", "--wait", "30", **own)


def test_who_is_no_operator_gets_a_remedy(master: BuildMaster, fleet: Fleet, operator: Callable[..., Result]) -> None:
    agents = {"MASTER_BRIDGE_URL": fleet.url}
    refused = operator("fleet", "--once", expect=1, **agents).output
    assert "may come in as operator" in refused
    assert "enroll NAME --as operator --master-dir" in refused
    assert fleet.token not in refused
    stranger = {"MASTER_BRIDGE_URL": fleet.url.partition("sha256:")[0] + "sha256:" + "0" * 64}
    assert "not that of the URL" in operator("queues", expect=1, **stranger).output
    master.stop()
    own = {"MASTER_BRIDGE_MASTER_DIR": str(master.folder)}
    assert "no master that listens for its agents itself runs in" in operator("queues", expect=1, **own).output
    assert not (master.folder / SOCKET_FILE).exists()


def test_the_folders_socket_is_its_owners(master: BuildMaster) -> None:
    """And it is made anew after a master that was killed."""
    path = master.folder / SOCKET_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    master.kill()
    assert path.exists()
    with pytest.raises(Unreachable, match="no master"), connect_to_office(None, master.folder):
        pass
    master.start()

    def there() -> bool:
        try:
            with connect_to_office(None, master.folder) as link:
                return link.queue("cap.gtk:ge:3") is not None
        except Unreachable:
            return False

    wait_for(there, 60, lambda: master.log()[-4000:])


def test_dead_letters_are_listed_shown_sent_again_and_dropped(
    master: BuildMaster, fleet: Fleet, operator: Callable[..., Result], tmp_path: Path
) -> None:
    """As over RabbitMQ: an offer that is sent again runs nowhere without its master's grant, which has none for it."""
    ran = tmp_path / "ran"
    offer = Offer(
        offer="o-1", request="br-77", master="m1", user="m1", ticket="t", run=1, signature="gtk>=3", kind="command",
        published=time.time() + 3600, builddir="b",
        commands=(Command(n=1, name="shell", args={"command": ["touch", str(ran)], "workdir": "."}, digest="d" * 64),),
    )  # fmt: skip

    async def bury() -> None:
        wire = await open_amp(parse_office_url(fleet.url), ssl.create_default_context(), 10)
        await wire.send(hello("agents", fleet.token))
        assert isinstance(await next_frame(wire), Welcome)
        headers = {topology.DEAD_REASON_HEADER: "lost three agents", topology.DEAD_PRIORITY_HEADER: "7"}
        for number, body in enumerate([encode(offer).body, b"\x00\xff", b"{}"], 1):
            carried = Carried(type="offer", content_type="application/json", headers=headers)
            await wire.send(pack(Say(number=number, to="dead", key="cap.gtk:ge:3", message=carried), body))
            await next_frame(wire)
        await wire.close()

    run(bury())
    listed = json.loads(operator("dead", "list", "--json").output)
    assert [(each["priority"], each["account"], each["reason"]) for each in listed] == [
        (7, "agents", "lost three agents")
    ] * 3
    assert '"offer": "o-1"' in operator("dead", "show", listed[0]["id"]).output
    assert "is no offer" in operator("dead", "requeue", listed[1]["id"], expect=1).output
    operator("dead", "drop", listed[1]["id"])
    operator("dead", "requeue", listed[0]["id"])
    assert [each["id"] for each in json.loads(operator("dead", "list", "--json").output)] == [listed[2]["id"]]
    agent = fleet.make_agent("able", capabilities=["gtk=3.24"])

    def is_over() -> bool:
        """Its claim was not answered; or just after the master's start, when it hears all that are there, refused."""
        taken = re.search(r"cap\.gtk:ge:3 \(gtk>=3\) +0 +0 ", operator("queues").output)
        return taken is not None or "master_silent" in agent.log()

    wait_for(is_over, 60, agent.log)
    assert not ran.exists(), "its ticket is not of this master"


@pytest.mark.parametrize(
    "frame",
    [
        ConsumeFrom(queues=("cap.gtk:ge:3",), seen=0),
        Settle(delivery=1, how="ack"),
        Say(number=1, to="claims", key="m1", message=Carried(type="claim", content_type="application/json")),
        Say(number=1, to="fleet", key="status", message=Carried(type="status", content_type="application/json")),
        Say(number=1, to="dead", key="x", message=Carried(type="offer", content_type="application/json")),
    ],
)
def test_an_operator_claims_nothing_and_speaks_for_no_agent(master: BuildMaster, frame: Frame) -> None:
    with connect_to_office(None, master.folder) as link:
        link._wire.send(pack(frame))
        with pytest.raises(Unreachable, match=r"no operator sends a|speaks for no agent"):
            link.wait(10)


def test_an_operators_account_is_no_agents(master: BuildMaster, fleet: Fleet) -> None:
    token = accounts.add(master.folder / accounts.ACCOUNTS_FILE, "desk", role="operator")

    async def come_in() -> Frame:
        wire = await open_amp(parse_office_url(fleet.url), ssl.create_default_context(), 10)
        await wire.send(hello("desk", token))
        try:
            return await next_frame(wire)
        finally:
            await wire.close()

    denied = run(come_in())
    assert denied.f == "denied"
    assert "may come in as agent" in denied.reason


def test_the_folders_socket_bounds_what_it_reads(master: BuildMaster) -> None:
    """Whoever opens it is its user, and may still be a broken program: it is ended, and the others go on."""
    with socket.socket(socket.AF_UNIX) as broken:
        broken.connect(str(master.folder / SOCKET_FILE))
        broken.sendall(b"\x00\x01h\xff\xff" + b"x" * 65_535)
        broken.settimeout(30)
        with contextlib.suppress(ConnectionResetError):
            while broken.recv(65_536):
                pass
    with connect_to_office(None, master.folder) as link:
        assert link.all_queues()
    assert OWN_OPERATOR.user not in accounts.listed(master.folder / accounts.ACCOUNTS_FILE)
