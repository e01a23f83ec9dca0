"""Agents that are sent nonsense, with keys and without: it goes to `dead`, and the next offer is claimed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from contracts import topology
from contracts.codec import HEADER, encode
from contracts.messages import Claim, Grant, Offer, Steer
from contracts.trust.signing import Signer, generate
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import until
from tests.broker.operators.test_hostile_fleet import UNREADABLE

#: Values that a header of AMQP can have; floats, which pika does not send, are in tests/unit/operators/test_signing.py.
VALUES: tuple[Any, ...] = (
    "", ":", "1:2:" + "9" * 400, "i:" + "9" * 5000 + ":1", "i:1:nan", "i:1:1e400", "i:٣:1", "x" * 60_000, b"\xff\xfe",
    0, -1, 2**62, True, None, *UNREADABLE, [], [1, "a"], {}, {"a": {"b": [b"\xff"]}},
)  # fmt: skip
BODIES = (
    b"", b"\xff", b"[", b"[]", b"null", b"{}", b"NaN", b"[" * 100_000, b'{"t":"offer"}', b'{"t":["offer"],"v":1}',
    b'{"t":"steer","v":1e400}', b'{"t":"grant","v":' + b"9" * 5000 + b"}", b'{"t":"rollcall","master":"\\ud800","v":1}',
    b'{"t":"rollcall","master":"\x1b]0;x\x07"}', b'{"t":"grant","v":1,"session":"\\udfff"}',
)  # fmt: skip


def sent(channel: BlockingChannel, exchange: str, key: str, body: bytes, headers: dict[str, Any]) -> None:
    channel.basic_publish(
        exchange, key, body, pika.BasicProperties(user_id="guest", headers=headers, type="offer"), mandatory=True
    )


def spread(signer: Signer, exchange: str, key: str, good: bytes) -> list[tuple[bytes, dict[str, Any]]]:
    """Bodies and headers: each header of ours as each value, unsigned and beside a right signature; each odd body."""
    found: list[tuple[bytes, dict[str, Any]]] = []
    for name in ("bb-key", "bb-stamp", "bb-signature", HEADER, "x-death", "bb-reason", "CC"):
        for value in VALUES:
            if name in ("CC", "x-death") and not isinstance(value, list):
                continue  # the broker refuses to take it
            found.append((good, {name: value}))
            found.append((good, {**signer.headers(exchange, key, good, {}), name: value}))
    for body in BODIES:
        found.append((body, {}))
        found.append((body, signer.headers(exchange, key, body, {})))
    return found


@pytest.mark.parametrize("keys", [True, False], ids=["with keys", "without keys"])
async def test_nonsense_changes_nothing_of_an_agent(
    open_master: OpenMaster, start_agent: StartAgent, amqp_url: str, tmp_path: Path, keys: bool
) -> None:
    """To the queue of its offers and to its own: afterwards it is connected as before, and claims what is in order."""
    generate(tmp_path / "key")
    signer = Signer.from_file(tmp_path / "key")
    master = await open_master("any")
    agent = start_agent("agent", *(("--trusted-key", str(tmp_path / "key.pub")) if keys else ()))
    await master.wait_for_consumers("any", 1)
    address = (await master.status(lambda status: bool(status.address))).address
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        # what is in order but for its headers must do nothing where it is believed: a grant of no session, no offer
        good = encode(Grant(session="s-0", master="m1", incarnation="i", run=1, ticket="t", stored=0)).body
        for exchange, key in ((topology.OFFERS, topology.cap_queue("any")), (topology.CONTROL, address)):
            for body, headers in spread(signer, exchange, key, good):
                sent(channel, exchange, key, body, headers)
        offer = Offer(
            offer="o-good", request="br-1", master="m1", user="guest", ticket="t", run=1, signature="any", kind="build",
            published=1.0, builddir="b",
        )  # fmt: skip
        body = encode(offer).body
        key = topology.cap_queue("any")
        sent(channel, topology.OFFERS, key, body, dict(signer.headers(topology.OFFERS, key, body, {})))
        claim = await master.wait_for(Claim)
        assert claim.offer == "o-good"
        assert claim.address == address, "it was connected all the time"
        stop = encode(Steer(order="stop")).body
        sent(channel, topology.CONTROL, address, stop, dict(signer.headers(topology.CONTROL, address, stop, {})))
    await until(lambda: not agent.child.running, "the agent to obey its master")
    for line in ("link_part_failed", "part_failed", "unhandled_error", "Traceback"):
        assert line not in agent.log
