"""What an agent's account cannot do to others at a master that is its own broker, over each wire that leads there.

Over RabbitMQ its permissions hold the same: tests/broker/security.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.codec import encode
from contracts.frames.codec import pack, unpack
from contracts.frames.frames import (
    Answer,
    Beat,
    Bye,
    Carried,
    ConsumeFrom,
    CountQueues,
    Denied,
    Frame,
    Hello,
    NextDead,
    Receive,
    Received,
    Say,
    Settle,
    SettleDead,
    Told,
    Welcome,
)
from contracts.messages import AnyMessage, Event, Gone, Ping, Status
from contracts.operations.office_url import SSH
from contracts.topology import BROADCAST, OPERATORS_PREFIX, TELL, control_address
from tests.transports.port.conftest import LONG, MakeAgent, MakeMaster
from tests.transports.port.conftest import agent as agent
from tests.transports.port.conftest import make_agent as make_agent
from tests.transports.port.conftest import make_master as make_master
from tests.transports.port.conftest import master as master
from tests.transports.port.ends import AgentEnd, MasterEnd, number_of, ping, until
from tests.transports.port.middles import MASTER, MIDDLES, Middle
from worker_agent.link.frames.ssh import open_ssh
from worker_agent.link.frames.wire import FrameWire, WireLost
from worker_agent.link.frames.wires import open_wire
from worker_agent.link.options import LinkOptions

#: The other account, which somebody has stolen.
THIEF = "thief"


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in ("amp", "zmq", "ssh")]
)
def middle(request: pytest.FixtureRequest) -> Any:
    """Of each wire in turn."""
    made = MIDDLES[request.param](request)
    yield made
    made.close()


class Intruder:
    """A raw connection with the thief's credentials, and all frames that it was sent."""

    def __init__(self, wire: FrameWire, token: str | None) -> None:
        self._wire = wire
        self._token = token
        self._numbers = itertools.count(1)
        self.address = control_address(THIEF, "instance", "nonce")
        self.heard: list[Frame] = []
        self.over = False
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(WireLost):
            while True:
                self.heard.append(unpack(await self._wire.receive()))
        self.over = True

    async def send(self, frame: Frame, body: bytes = b"") -> None:
        await self._wire.send(pack(frame, body))

    async def hello(self, **other: Any) -> Frame:
        """What comes of the first frame, with `other` in it."""
        fields = {"user": THIEF, "agent": "a", "address": self.address, "token": self._token, **other}
        await self.send(Hello(**fields))
        return (await until(lambda: self.heard, "an answer to its first frame"))[0]

    async def say(self, to: Any, message: AnyMessage, key: str = MASTER) -> int:
        """Its number, which an answer has."""
        wire = encode(message)
        number = next(self._numbers)
        carried = Carried(
            type=wire.type, content_type=wire.content_type, headers={n: str(v) for n, v in wire.headers.items()}
        )
        await self.send(Say(number=number, to=to, key=key, message=carried), wire.body)
        return number

    def all(self, kind: type[Any]) -> list[Any]:
        return [frame for frame in self.heard if isinstance(frame, kind)]

    async def answered(self, number: int) -> str:
        def find() -> list[Answer]:
            return [each for each in self.all(Answer) if each.number == number]

        return (await until(find, f"an answer to {number}; heard: {self.heard[-5:]}"))[0].outcome

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._wire.close()


MakeIntruder = Callable[[], Awaitable[Intruder]]


@pytest.fixture
async def make_intruder(middle: Middle, tmp_path: Path) -> AsyncIterator[MakeIntruder]:
    """`await make_intruder()`: connected; `hello` logs it in."""
    made: list[Intruder] = []
    entrance = middle.account(THIEF)
    options = LinkOptions(url=entrance.url, name=THIEF, connect_timeout=30.0)

    async def make() -> Intruder:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in entrance.environment.items():
                patch.setenv(name, value)  # whose `ssh` this process runs
            wire = await (open_ssh(options, set()) if options.office.wire == SSH else open_wire(options))
        made.append(Intruder(wire, options.office.token))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
async def intruder(master: MasterEnd, make_intruder: MakeIntruder) -> Intruder:
    """Logged in, as an agent of its own account."""
    made = await make_intruder()
    assert isinstance(await made.hello(), Welcome)
    return made


async def test_nobody_comes_in_as_somebody_else(agent: AgentEnd, make_intruder: MakeIntruder, middle: Middle) -> None:
    """With another's account, another's address, or as an operator."""
    others: tuple[dict[str, Any], ...] = (
        {"user": middle.agents_user},
        {"user": middle.agents_user, "address": agent.link.address},
        {"address": agent.link.address},
        {"address": control_address(middle.agents_user, "i", "n")},
        {"role": "operator"},
    )
    for other in others:
        intruder = await make_intruder()
        assert isinstance(await intruder.hello(**other), Denied), other
        await until(lambda intruder=intruder: intruder.over, "its connection ends")  # type: ignore[misc]
    assert agent.downs == 0


async def test_what_it_says_stands_under_its_own_name(
    master: MasterEnd, agent: AgentEnd, intruder: Intruder, middle: Middle
) -> None:
    """Whatever its messages claim: another's address, session or name."""
    gone = Gone(session="s1", request="br-1", master=MASTER, epoch=1, address=agent.link.address, reason="unknown")
    agent.claim(1, token=1)
    await agent.answered(1)
    assert await intruder.answered(await intruder.say("claims", gone)) == "taken"
    event = Event(session="s", seq=1, n=1, kind="stdout", data=b"forged")
    assert await intruder.answered(await intruder.say("events", event)) == "taken"
    await master.wait("message", 3)
    users = [(type(message).__name__, user) for _, _, message, user in master.named("message")]
    assert sorted(users) == [("Event", THIEF), ("Gone", middle.agents_user), ("Gone", THIEF)]
    status = Status(instance="i", agent=agent.name, epoch=1, address=agent.link.address, version="1", now=0.0,
                    state="ready", slots=(), capabilities=())  # fmt: skip
    await intruder.answered(await intruder.say("fleet", status, key="status"))
    assert not [each for each in master.named("fleet") if each[1] == status], "an address of another account"


async def test_it_reads_nothing_of_what_is_said_to_others(
    master: MasterEnd, agent: AgentEnd, intruder: Intruder
) -> None:
    """Only what is for all. It can name no address or queue to receive from."""
    for number in range(20):
        await master.call("send", ping(number), agent.link.address)
    await master.call("broadcast", ping(99))
    assert [number_of(each) for each in await agent.wait_heard(Ping, 21)] == [*range(20), 99]
    await until(lambda: intruder.all(Told), "what is for all")
    assert [(each.exchange, each.key) for each in intruder.all(Told)] == [("bb.control", BROADCAST)]
    await intruder.send(
        ConsumeFrom(queues=(agent.link.address, f"claims.{MASTER}", f"events.{MASTER}", "dead"), seen=0)
    )
    agent.claim(1, token=1)
    await agent.answered(1)
    await master.call("send", ping(20), agent.link.address)
    await agent.wait_heard(Ping, 22)
    await intruder.answered(await intruder.say("claims", Gone(session="s", request="r", master=MASTER, epoch=1,
                            address=intruder.address, reason="unknown")))  # fmt: skip
    assert {frame.f for frame in intruder.heard} == {"welcome", "told", "missing", "answer"}
    assert len(intruder.all(Told)) == 1


async def test_it_settles_no_offer_of_anothers(
    master: MasterEnd, agent: AgentEnd, intruder: Intruder, middle: Middle, make_agent: MakeAgent
) -> None:
    """What an agent holds stays with it, whatever numbers somebody else settles, and comes back when it is gone."""
    await master.offer(1)
    taken = await agent.take()
    for number, how in itertools.product(range(5), ("ack", "dead", "back", "park")):
        await intruder.send(Settle(delivery=number, how=how, reason="mine"))  # type: ignore[arg-type]
    await intruder.answered(await intruder.say("claims", Gone(session="s", request="r", master=MASTER, epoch=1,
                            address=intruder.address, reason="unknown")))  # fmt: skip
    await agent.close()
    second = await make_agent("a2")
    again = await second.take()
    assert again.offer == taken.offer
    assert again.redelivered


@pytest.mark.parametrize("what", ["one", "all", "tell", "count", "dead", "settle-dead", "receive", "received"])
async def test_it_gives_no_orders_and_does_nothing_of_an_operators(
    agent: AgentEnd, intruder: Intruder, what: str
) -> None:
    """Its connection ends; nobody has heard anything."""
    frames: dict[str, Frame] = {
        "count": CountQueues(number=1),
        "dead": NextDead(number=1, after=0),
        "settle-dead": SettleDead(number=1, place=1, how="drop"),
        "receive": Receive(number=1, master=f"{OPERATORS_PREFIX}x"),
        "received": Received(delivery=1),
    }
    if what in frames:
        await intruder.send(frames[what])
    else:
        key = {"one": agent.link.address, "all": BROADCAST, "tell": TELL}[what]
        await intruder.say("control", ping(1), key=key)
    await until(lambda: intruder.over or intruder.all(Bye), "its connection ends")
    assert not agent.heard(Ping)
    assert agent.downs == 0


async def test_its_flood_delays_nobody_for_long(
    make_master: MakeMaster, make_agent: MakeAgent, make_intruder: MakeIntruder
) -> None:
    """40 MB that the master does not store: it is told that there is no room, and others' claims are taken."""
    master = await make_master(events_max_bytes=1024 * 1024)
    master.acks = False
    agent, intruder = await make_agent(), await make_intruder()
    assert isinstance(await intruder.hello(), Welcome)

    async def flood() -> None:
        for number in range(400):
            await intruder.say("events", Event(session="s", seq=number + 1, n=1, kind="stdout", data=b"x" * 100_000))
            await intruder.send(Beat())

    flooding = asyncio.get_running_loop().create_task(flood())
    for number in range(20):
        agent.claim(number, token=number)
        await agent.answered(number)
    await flooding
    await until(lambda: len(intruder.all(Answer)) == 400 or intruder.over, "all is answered")
    assert agent.downs == 0
    taken = [each for each in intruder.all(Answer) if each.outcome == "taken"]
    assert len(taken) < 100
