"""A status that says again what it said before is known by its bytes, and is read as any other would be."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import topology
from contracts.agent_names import named
from contracts.codec import decode, encode
from contracts.errors import BadMessage
from contracts.messages import Capability, FleetMessage, SlotStatus, Status
from contracts.trust.envelope import Envelope
from master_bridge.link.carried import Delivered, Publication
from master_bridge.link.reader import Reader
from master_bridge.link.repeated import RepeatedStatuses

USER = "alice"


def status(**parts: Any) -> Status:
    told: dict[str, Any] = {
        "instance": "i-1", "agent": "alice", "epoch": 1, "version": "1",
        "address": topology.control_address(USER, "i-1", "0"), "now": 1000.25, "state": "ready",
        "slots": (SlotStatus(state="idle"),), "capabilities": (Capability(name="gtk", version="3"),),
        "queues": ("cap.gtk",),
    }  # fmt: skip
    return Status(**{**told, **parts})


class Scene:
    """A reader, and what it put into `bb.dead`."""

    def __init__(self) -> None:
        self.dead: list[Publication] = []
        self.reader = Reader("m", self, publish=self.dead.append, answer=lambda _: None)  # type: ignore[arg-type]  # what it calls is here

    def message_sent_to_dead(self, _reason: str, _user: str) -> bool:
        return False

    def hear(self, body: bytes, user: str = USER, **envelope: Any) -> FleetMessage | None:
        told: dict[str, Any] = {
            "exchange": topology.FLEET, "routing_key": topology.STATUS_KEY, "user_id": user, "headers": {}
        }  # fmt: skip
        delivered = Delivered(
            body=body, headers={}, envelope=Envelope.of(**{**told, **envelope}), queue="q", ack=lambda: None
        )
        return self.reader.of_fleet(delivered)


def body(**parts: Any) -> bytes:
    return encode(status(**parts)).body


def test_what_is_said_again_has_its_own_time_and_shares_all_else() -> None:
    scene = Scene()
    first = scene.hear(body())
    again = scene.hear(body(now=1005.5))
    assert isinstance(first, Status)
    assert isinstance(again, Status)
    assert again == status(now=1005.5)
    assert again.capabilities is first.capabilities, "it was not read anew"
    assert again.slots is first.slots


@pytest.mark.parametrize(
    "news",
    [
        {"slots": (SlotStatus(state="held", session="s"),)},
        {"capabilities": (Capability(name="gtk", version="4"),)},
        {"agent": "alicf"},
        {"state": "paused"},
        {"queues": ()},
        {"epoch": 2},
        {"reasons": ('"now":1000.25,',)},
        {"found": {"now": "1000.25"}},
    ],
)
def test_news_is_read(news: dict[str, Any]) -> None:
    scene = Scene()
    kept = [scene.hear(body()), scene.hear(body(**news)), scene.hear(body(**news, now=3.0))]
    said = named(status(**news), USER)
    assert kept == [status(), said, said.model_copy(update={"now": 3.0})]


def test_an_agent_of_a_shared_account_is_named_with_it_each_time() -> None:
    scene = Scene()
    kept = [scene.hear(body(agent="linux-1", now=now)) for now in (1.0, 2.0, 3.0)]
    assert [each.agent for each in kept if isinstance(each, Status)] == ["linux-1@alice"] * 3
    assert kept[2] == status(agent="linux-1@alice", now=3.0)
    assert len(scene.reader._repeated) == 1


def test_one_account_cannot_say_what_another_said() -> None:
    scene = Scene()
    kept = scene.hear(body())
    assert kept is not None
    assert scene.hear(body(now=2.0), user="mallory") is None
    assert len(scene.dead) == 1


@pytest.mark.parametrize(
    "way",
    [
        {"exchange": topology.CONTROL},
        {"routing_key": topology.CATALOGUE_KEY},
        {"user_id": ""},
        {"headers": {"x-death": []}},
    ],
)
def test_what_came_by_another_way_is_not_believed_though_it_says_the_same(way: dict[str, Any]) -> None:
    scene = Scene()
    kept = scene.hear(body())
    assert kept is not None
    assert scene.hear(body(now=2.0), **way) is None
    assert len(scene.dead) == 1


@pytest.mark.parametrize("time", [b"01", b"-1", b"1e3", b"NaN", b"Infinity", b"1.", b'"1"', b"true", b"1 ", b"[1]"])
def test_another_time_is_read_as_any_reader_would(time: bytes) -> None:
    scene = Scene()
    kept = scene.hear(body())
    assert kept is not None
    odd = body().replace(b'"now":1000.25', b'"now":' + time)
    expected = _read(odd)
    assert kept == status()
    assert scene.hear(odd) == expected
    assert bool(scene.dead) == (expected is None)


NAMED = st.sampled_from(["gtk", '"now":1,', "\\", '\\"now":1', "{", "[", "now"])


@given(st.lists(NAMED, max_size=3), NAMED, st.floats(0, 1e12), st.booleans())
def test_a_repeated_status_is_what_decoding_gives(reasons: list[str], agent: str, now: float, first: bool) -> None:
    """Whatever text it has, and wherever its time stands."""
    scene = Scene()
    parts = {"reasons": tuple(reasons), "agent": agent, "version": agent}
    told = body(**parts)
    if first:  # another writer's order: what may name a time comes before the time
        told = told.replace(b'"now":1000.25,', b"")[:-1] + b',"now":1000.25}'
    kept = scene.hear(told)
    assert kept == _read(told)
    again = told.replace(b'"now":1000.25', b'"now":' + repr(now).encode())
    assert scene.hear(again) == _read(again)


def test_nothing_is_remembered_that_nobody_keeps() -> None:
    """What one account can make a bridge remember is bounded where statuses are kept (rule 23)."""
    repeated = RepeatedStatuses()
    told = status()
    _, able = repeated.read_news(encode(told).body)
    repeated.keep(USER, encode(told).body, told, able)
    assert len(repeated) == len(repeated._able) == 1
    del told, _
    gc.collect()
    assert len(repeated) == len(repeated._able) == 0


ABLE = (Capability(name="gtk", version="3"), Capability(name="wx"))


@pytest.mark.parametrize("agent", ["alice", "linux-1"])
def test_equal_machines_share_what_they_can(agent: str) -> None:
    """News of one agent, and another agent of another account, whatever they are called."""
    scene = Scene()
    kept = [
        scene.hear(body(agent=agent, capabilities=ABLE)),
        scene.hear(body(agent=agent, capabilities=ABLE, state="paused", now=2.0)),
        scene.hear(
            body(agent="bob", address=topology.control_address("bob", "i-2", "0"), capabilities=ABLE), user="bob"
        ),
    ]
    capabilities = [each.capabilities for each in kept if isinstance(each, Status)]
    assert len(capabilities) == 3
    assert capabilities[0] == ABLE
    assert capabilities[0] is capabilities[1] is capabilities[2]


#: As JSON has them: some are those of before but for a kind, a name, an order or a part that nobody knows.
WAYS = [
    [{"name": "gtk", "version": "3"}, {"name": "wx", "version": None}],
    [{"name": "gtk", "version": "3"}, {"name": "wx"}],
    [{"version": "3", "name": "gtk"}, {"name": "wx", "version": None}],
    [{"name": "wx", "version": None}, {"name": "gtk", "version": "3"}],
    [{"name": "gtk", "version": 3}, {"name": "wx", "version": None}],
    [{"name": "gtk", "version": "3", "more": 1}, {"name": "wx", "version": None}],
    [{"name": "gtk", "version": "3", "more": True}, {"name": "wx", "version": None}],
    [["gtk", "3"]],
    [{"name": ""}],
    [],
    {},
    None,
]


@given(st.lists(st.sampled_from(WAYS), min_size=2, max_size=4), st.sampled_from(["status", "work", "catalogue"]))
def test_shared_capabilities_are_what_decoding_gives(ways: list[Any], kind: str) -> None:
    scene = Scene()
    kept = []  # or nothing would be shared
    for number, way in enumerate(ways):
        fields = {**json.loads(body(state="paused" if number % 2 else "ready")), "capabilities": way, "t": kind}
        told = json.dumps(fields).encode()
        kept.append(scene.hear(told))
        assert kept[-1] == (_read(told) if kind == "status" else None)


def _read(told: bytes) -> Any:
    try:
        return named(decode(told), USER)
    except BadMessage:
        return None
