"""The bridge's edge: what its machine asks for is what its link is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from twisted.internet import defer, task

from contracts import topology
from contracts.codec import encode
from contracts.messages import Offer, Status
from contracts.trust.envelope import Envelope
from contracts.trust.tickets import Tickets
from master_bridge.buildbot.bridge import Bridge
from master_bridge.core import actions
from master_bridge.core.inputs import AgentHeard
from master_bridge.link.carried import Delivered
from master_bridge.link.reader import Reader
from tests.unit.bridge_core.scene import Agent


class Link:
    """Notes what it is asked to sweep."""

    def __init__(self) -> None:
        self.swept: list[tuple[str, Callable[[Offer], bool]]] = []

    def sweep(self, signature: str, stale: Callable[[Offer], bool]) -> None:
        self.swept.append((signature, stale))


def bridge() -> Bridge:
    def nothing(_: Any) -> None: ...

    return Bridge(
        reactor=task.Clock(),
        master="m1",
        user="bridge",
        tickets=Tickets(b"a secret of exactly 32 bytes ...", master="m1"),
        grace=5.0,
        check=lambda _: defer.succeed(False),
        on_link=nothing,
        on_fleet=nothing,
        on_stopped=nothing,
    )


def test_a_sweep_asks_the_machine_what_is_stale() -> None:
    """The link looks through the queue; whether an offer is of use to anybody, the machine knows."""
    this, link = bridge(), Link()
    this.link = link  # type: ignore[assignment]  # of a link's methods only this one is called
    this._carry_out(actions.SweepOffers(signature="gtk"))
    ((signature, stale),) = link.swept
    assert signature == "gtk"
    offer = Offer(
        offer="o", request="br-1", master="another", user="u", ticket="t", run=1, signature="gtk", kind="build",
        published=0.0, builddir="b",
    )  # fmt: skip
    assert not stale(offer)
    this.stop()


def test_a_thief_bears_its_accounts_name_beside_another_accounts() -> None:
    """In what the machine hears and in what the fleet's view does, though nobody has heard of that account yet."""
    heard: list[Any] = []
    fleet: list[Any] = []
    this = bridge()
    this.feed = heard.append  # type: ignore[method-assign, assignment]
    this._on_fleet = fleet.append
    status = Status(
        instance="i", agent="alice", epoch=1, address="agent.alice.i.n", version="1", now=0.0, state="ready", slots=(),
        capabilities=(),
    )  # fmt: skip
    reader = Reader("m", this, publish=lambda _: None, answer=lambda _: None)

    def tell(user: str) -> None:
        wire = encode(status.model_copy(update={"address": f"agent.{user}.i.n"}))
        envelope = Envelope(exchange=topology.FLEET, routing_key=topology.STATUS_KEY, user_id=user, dead_lettered=False)
        told = reader.of_fleet(Delivered(body=wire.body, headers={}, envelope=envelope, queue="", ack=lambda: None))
        assert told is not None
        this.fleet_heard(told)

    tell("mallory")
    this.message_received(1, Agent("alice", user="mallory").claim("o"), "mallory", 1)
    tell("alice")
    assert [each.agent for each in fleet] == ["alice@mallory", "alice"]
    assert [each.message.agent for each in heard] == ["alice@mallory"]


def test_of_all_agents_that_are_heard_the_machine_hears_of_holders(monkeypatch: pytest.MonkeyPatch) -> None:
    this = bridge()
    fed: list[Any] = []
    monkeypatch.setattr(this, "feed", fed.append)
    monkeypatch.setattr(this.machine, "holds", lambda *agent: agent == ("i-1", "alice"))
    for instance, user in (("i-1", "alice"), ("i-1", "mallory"), ("i-2", "alice")):
        status = Status(
            instance=instance, agent="a", epoch=1, address=f"agent.{user}.i.n", version="1", now=0.0, state="ready",
            slots=(), capabilities=(), every=25,
        )  # fmt: skip
        this.agent_heard(status, user)
    assert fed == [AgentHeard(instance="i-1", user="alice", every=25)]
    this.stop()


def test_what_the_link_could_not_read_is_counted() -> None:
    """Beside what the machine rejects, as `dead_letters`."""
    this = bridge()
    assert this.message_sent_to_dead("not JSON", "thief")
    assert this.figures.dead_letters == 1
    assert this.figures.rejected == {"thief": 1}
    this.stop()


def test_an_error_that_nobody_foresaw_leaves_the_bridge_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its machine, of its figures or of its link: it is said, and what comes next is handled."""

    def breaks(*_: Any) -> Any:
        raise KeyError("a bug")

    this = bridge()
    for owner, name in ((this.machine, "handle"), (this.figures, "saw"), (this.figures, "did")):
        with monkeypatch.context() as planted, capture_logs() as lines:
            planted.setattr(owner, name, breaks)
            this.link_up()
            this.link_down("test")
        assert {line["event"] for line in lines} >= {"amqp.input_failed"} or name != "handle"
    with capture_logs() as lines:
        this.link_up()
    assert not [line for line in lines if line["log_level"] == "error"]
    this.stop()
