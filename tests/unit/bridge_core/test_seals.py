"""Rule 24 in the bridge's machine: what must be sealed is granted to whom it can be sealed for, and to nobody else."""

from __future__ import annotations

from typing import Any

from contracts.messages import Claim, Grant, Interrupt, Later, Pull, Refuse, Resume, Start
from master_bridge.core.actions import Alarm, ForgetSeal, Lost, PublishOffer, Send, ServeData, Terms
from master_bridge.core.inputs import Done, InterruptCommand, Reroute
from tests.unit.bridge_core.scene import MAKE, TEST, Agent, Scene, executing, sent

KEY = "ab" * 32


class Sealing(Agent):
    """One that gives a key, `key` None: that cannot."""

    def __init__(self, name: str, *, key: str | None = KEY, **more: Any) -> None:
        super().__init__(name, **more)
        self.key = key

    def claim(self, offer: str, ticket: str | None = None) -> Claim:
        return super().claim(offer, ticket).model_copy(update={"key": self.key})

    def resume(self, *commands: Any, ticket: str | None = None) -> Resume:
        return super().resume(*commands, ticket=ticket).model_copy(update={"key": self.key})

    @property
    def terms(self) -> Terms:
        assert self.key is not None
        return Terms(key=self.key, user=self.user, request=self.request, signature="gtk")


def sends(scene: Scene, kind: type) -> list[Send]:
    return [send for send in sent(scene.last, Send) if isinstance(send.message, kind)]


def test_an_offer_says_that_it_wants_a_seal_and_carries_nothing_rendered() -> None:
    """Not even of a command: it waits in a queue before anybody's key is known. So it asks."""
    scene = Scene()
    for kind, request in (("build", "br-1"), ("command", "br-1/step-1")):
        scene.offered(request, kind=kind, seal=True, commands=(MAKE,) if kind == "command" else ())
        offer = sent(scene.last, PublishOffer)[0].offer
        assert (offer.seal, offer.ask, offer.commands) == (True, True, ())
    scene.offered("br-2/step-1", kind="command", commands=(MAKE,))
    offer = sent(scene.last, PublishOffer)[0].offer
    assert (offer.seal, offer.ask, len(offer.commands)) == (False, False, 1)


def test_a_claim_without_a_key_is_told_later_with_the_reason_and_another_agent_gets_it() -> None:
    """Its offer is parked, not lost; an operator is told once for each agent."""
    scene, old, able = Scene(), Sealing("old", key=None), Sealing("able")
    offer = scene.offered(seal=True)
    for _ in range(2):
        old.session += "x"
        scene.says(old, old.claim(offer))
        later = sends(scene, Later)[0].message
        assert isinstance(later, Later)
        assert "gives no key" in later.reason
        assert not sends(scene, Grant)
    assert [alarm.event for alarm in sent(scene.all, Alarm)] == ["amqp.no_key"]
    scene.says(able, able.claim(offer))
    assert [send.terms for send in sends(scene, Grant)] == [able.terms]


def test_a_resume_without_a_key_is_refused() -> None:
    """It waits, is noted before it is asked for, or held: nothing of it may be said in plain text."""
    for how in ("waits", "noted", "held"):
        scene, agent = Scene(), Sealing("a", key=None)
        if how == "noted":
            scene.says(agent, agent.resume(executing()))
            scene.seek(seal=True)
            scene.settle()
        else:
            agent.key = KEY
            scene.held(agent, seal=True) if how == "held" else scene.offered(seal=True)
            agent.key, agent.epoch = None, 2
            assert scene.says(agent, agent.resume(executing())) in scene.acked(), how
        assert [send.address for send in sends(scene, Refuse)] == [agent.address], how
        assert not sends(scene, Grant), how
        assert bool(sent(scene.last, Lost)) == (how == "held"), how


def test_what_is_said_in_a_session_with_a_key_is_sealed_for_it() -> None:
    """Starts, interrupts and data, with the terms of its last grant."""
    scene, agent = Scene(), Sealing("a")
    scene.held(agent, commands=[MAKE], seal=True)
    assert [send.terms for send in sends(scene, Start)] == [agent.terms]
    scene.do(InterruptCommand(request="br-1", n=1, reason="Stop"))
    assert [send.terms for send in sends(scene, Interrupt)] == [agent.terms]
    scene.says(agent, Pull(session=agent.session, n=1, offset=0, length=10))
    assert [serve.terms for serve in sent(scene.last, ServeData)] == [agent.terms]


def test_without_a_key_nothing_has_terms() -> None:
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=[MAKE])
    assert {send.terms for send in sent(scene.all, Send)} == {None}


def test_another_key_of_the_same_session_is_that_of_the_agents_next_process() -> None:
    """It comes with a resume of a newer epoch; an old one's key counts no more."""
    scene, agent = Scene(), Sealing("a")
    scene.held(agent, commands=[MAKE], seal=True)
    old = agent.resume(executing())
    agent.epoch, agent.key = 2, "cd" * 32
    scene.says(agent, agent.resume(executing()))
    assert [send.terms for send in sends(scene, Grant)] == [agent.terms]
    scene.says(agent, agent.accept())
    assert {send.terms for send in sends(scene, Start)} == {agent.terms}
    scene.says(agent, old)
    assert not sends(scene, Grant)


def test_the_key_of_another_account_counts_for_nothing() -> None:
    """Of a session that is granted, and of one that is not: the thief has no ticket for it."""
    scene, agent = Scene(), Sealing("a")
    scene.held(agent, commands=[MAKE], seal=True)
    thief = Sealing("thief", key="ef" * 32, session=agent.session)
    thief.epoch = 9
    scene.says(thief, thief.resume(executing()))
    assert not sent(scene.last, Send)
    agent.epoch = 2
    scene.says(agent, agent.resume(executing()))
    assert [send.terms for send in sends(scene, Grant)] == [agent.terms]


def test_a_sealed_session_stays_sealed_for_a_request_that_is_so_no_longer() -> None:
    """Its agent gives a key, because its offer asked for one."""
    scene, agent = Scene(), Sealing("a")
    scene.says(agent, agent.resume(executing()))
    scene.seek(seal=False)
    scene.settle()
    assert [send.terms for send in sends(scene, Grant)] == [agent.terms]


def test_a_sealed_command_is_started_after_the_accept() -> None:
    scene, agent = Scene(), Sealing("a", request="br-1/step-1")
    scene.held(agent, kind="command", commands=(), seal=True)
    scene = Scene()
    offer = scene.offered(agent.request, kind="command", seal=True, commands=(MAKE, TEST))
    scene.says(agent, agent.claim(offer))
    assert not sends(scene, Start)
    scene.says(agent, agent.accept())
    assert [(send.message.command.n, send.terms) for send in sends(scene, Start)] == [  # type: ignore[attr-defined]
        (1, agent.terms),
        (2, agent.terms),
    ]


def test_a_reconfig_that_turns_the_seal_on_offers_anew() -> None:
    """The old offer's claim is refused, whose agent would not give a key."""
    scene, agent = Scene(), Agent("a")
    offer = scene.offered()
    scene.do(Reroute(request="br-1", signature="gtk+sealing", seal=True))
    assert [publish.offer.seal for publish in sent(scene.last, PublishOffer)] == [True]
    scene.says(agent, agent.claim(offer))
    assert sends(scene, Refuse)
    scene.do(Reroute(request="br-1", signature="gtk+sealing", seal=True))
    assert not sent(scene.last, PublishOffer)


def test_a_session_that_is_over_has_no_keys() -> None:
    scene, agent = Scene(), Sealing("a")
    scene.held(agent, commands=[MAKE], seal=True)
    scene.do(Done(request="br-1"))
    assert sent(scene.last, ForgetSeal) == [ForgetSeal(session=agent.session)]
