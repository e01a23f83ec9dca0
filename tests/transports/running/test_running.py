"""The same commands over each transport, and nobody but operators gives them."""

from __future__ import annotations

import asyncio
import random
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from contracts.frames.codec import pack
from contracts.frames.frames import Answer, Carried, Frame, Receive, Say
from contracts.operations.office_url import parse_office_url
from master_bridge.link.office.enrolling import enrolled
from master_bridge.operating.errors import Unreachable
from master_bridge.operating.office.link import connect_to_office
from master_bridge.running import Fleet
from tests.broker.agent.conftest import AgentProcess
from tests.broker.running.test_run import SLOWLY
from tests.faults.laboratory.proxy import Proxy
from tests.transports.port.conftest import MakeMaster
from tests.transports.port.ends import MasterEnd, until
from tests.transports.port.middles import Middle
from tests.transports.wires.door import hello, next_frame
from worker_agent.link.frames.amp import open_amp
from worker_agent.link.frames.wire import FrameWire

Agents = Callable[..., Awaitable["list[AgentProcess]"]]


async def test_commands_and_files_whatever_is_between(
    fleet: Fleet, agents: Agents, middle: Middle, tmp_path: Path
) -> None:
    """Output and files of many messages are exact, though the agents' connections end in the middle of them."""
    await agents("a1", "a2", "a3")
    done = await asyncio.to_thread(fleet.run, ["sh", "-c", "echo out; echo err >&2; exit 3"], match=["any"])
    assert [(each.agent.partition("@")[0], each.exit_status, each.stdout, each.stderr) for each in done] == [
        (name, 3, b"out\n", b"err\n") for name in ("a1", "a2", "a3")
    ]
    data, here, go = random.Random(1).randbytes(20_000_000), tmp_path / "here", tmp_path / "go"
    (tmp_path / "data").write_bytes(data)
    words = [sys.executable, "-c", SLOWLY, str(tmp_path / "data"), str(here), str(go)]
    running = asyncio.create_task(asyncio.to_thread(fleet.run, words, on=[done[0].agent]))
    await until(here.exists, "half of the output")
    middle.cut()
    go.touch()
    (result,) = await running
    assert result.check().stdout == data

    name, first = "ein Name\nmit 'Ärger' -rf", [done[0].agent]
    for result in await asyncio.to_thread(fleet.put, tmp_path / "data", f"{tmp_path}/copies/{name}", on=first):
        result.check()
    (listed,) = await asyncio.to_thread(fleet.ls, f"{tmp_path}/copies", on=[done[1].agent])
    assert listed.names == (name,)
    got = await asyncio.to_thread(fleet.get, f"{tmp_path}/copies/{name}", tmp_path / "got", match=["any"])
    assert {each.check().path.read_bytes() == data for each in got} == {True}  # type: ignore[union-attr]  # it is there


@pytest.mark.long
@pytest.mark.parametrize("middle", ["amp"], indirect=True)
async def test_an_operator_elsewhere_whose_connection_is_cut(
    master: MasterEnd, agents: Agents, middle: Middle, tmp_path: Path
) -> None:
    """With an account, over TLS: his program connects again, and no byte is lost or comes twice."""
    await agents("a1")
    proxy = Proxy(int(middle.url.rpartition(":")[2]))
    url = enrolled(tmp_path, "desk", f"amps://127.0.0.1:{proxy.port}", "operator", authority=False)
    said: list[str] = []
    fleet = Fleet(url, say=said.append)
    data, here, go = random.Random(2).randbytes(20_000_000), tmp_path / "here", tmp_path / "go"
    (tmp_path / "data").write_bytes(data)
    words = [sys.executable, "-c", SLOWLY, str(tmp_path / "data"), str(here), str(go)]
    running = asyncio.create_task(asyncio.to_thread(fleet.run, words, match=["any"]))
    await until(here.exists, "half of the output")
    proxy.reset()
    go.touch()
    (result,) = await running
    proxy.close()
    assert result.check().stdout == data
    assert "connected again" in said


@pytest.mark.long
@pytest.mark.parametrize("middle", ["amp"], indirect=True)
async def test_the_master_between_them_begins_anew(
    make_master: MakeMaster, fleet: Fleet, master: MasterEnd, agents: Agents, tmp_path: Path
) -> None:
    """What it had in memory for agent and operator is lost with it; they say it again."""
    await agents("a1")
    data, here, go = random.Random(4).randbytes(20_000_000), tmp_path / "here", tmp_path / "go"
    (tmp_path / "data").write_bytes(data)
    words = [sys.executable, "-c", SLOWLY, str(tmp_path / "data"), str(here), str(go)]
    running = asyncio.create_task(asyncio.to_thread(fleet.run, words, match=["any"]))
    await until(here.exists, "half of the output")
    await master.call("stop")
    go.touch()
    await make_master()
    (result,) = await running
    assert result.check().stdout == data


async def _last_frame(wire: FrameWire) -> Frame:
    """Whatever comes before it: a master tells its agents this and that."""
    while (frame := await next_frame(wire)).f in ("told", "beat"):
        pass
    return frame


@pytest.mark.parametrize("middle", ["amp"], indirect=True)
async def test_nobody_else_gives_commands(master: MasterEnd, agents: Agents, middle: Middle, tmp_path: Path) -> None:
    """An agent's account tells agents nothing, and receives nobody's answers; an operator receives his own only."""
    await agents("a1")
    address = parse_office_url(middle.agents_url)
    carried = Carried(type="offer", content_type="application/json")
    frames: list[Frame] = [
        Receive(number=1, master="operator-x-1"),
        Say(number=1, to="control", key="agent.a.b.c", message=carried),
    ]
    for frame in frames:
        wire = await open_amp(address, ssl.create_default_context(), 10)
        await wire.send(hello(address.user, address.token))
        await next_frame(wire)
        await wire.send(pack(frame))
        assert (await _last_frame(wire)).f == "bye"
        await wire.close()

    desk = enrolled(tmp_path, "desk", f"amps://127.0.0.1:{middle.url.rpartition(':')[2]}", "operator", authority=False)

    def try_names() -> None:
        with connect_to_office(None, tmp_path) as own, connect_to_office(desk, None) as other:
            answers = []
            for number, link in enumerate((own, own, other, other), 1):
                receive = Receive(number=number, master=f"operator-{'x' if number != 4 else 'y'}")
                answers.append(link._ask(receive, Answer)[0].outcome)
            assert answers == ["taken", "taken", "returned", "taken"], "a name is one account's"
            other._wire.send(pack(Say(number=9, to="claims", key="operator-x", message=carried)))
            with pytest.raises(Unreachable, match="speaks for no agent"):
                other.wait(10)

    await asyncio.to_thread(try_names)
