"""What the loop begins, does regularly and ends beside what comes in; who is told of what; how its run ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from contracts.errors import BadSeal
from contracts.messages import Alive, Interrupt, Move, Release, RollCall, Sealed
from contracts.operations import memory
from worker_agent.agent import forever, loop, parts
from worker_agent.agent.ending import EndReason
from worker_agent.agent.errands import Here
from worker_agent.agent.instance import Instance
from worker_agent.core import inputs
from worker_agent.program.settings import Settings
from worker_agent.reporting import telling

from .stage import DEADLINE, USER, Begin, FakeSessions, Stage, fake

SEALED = Sealed(session="s1", seal="0123456789abcdef", number=0, data=b"?")
INSIDE = Interrupt(session="s1", incarnation="I1", n=1, reason="enough")


async def ticks(count: int) -> None:
    """So many turns of the loop of asyncio."""
    for _ in range(count):
        await asyncio.sleep(0)


def heard(stage: Stage) -> list[inputs.Input]:
    """What the machine is told from now on."""
    told: list[inputs.Input] = []
    handle = stage.agent.machine.handle

    def note(input: Any, now: float) -> Any:
        told.append(input)
        return handle(input, now)

    stage.agent.machine.handle = note  # type: ignore[method-assign]
    return told


# ---- how it begins


async def test_what_an_earlier_process_left_is_known_before_anything_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orphans come to this process first; the link is up meanwhile, and what it says waits."""
    fake(monkeypatch)
    order: list[str] = []

    async def recover(self: FakeSessions) -> list[Any]:
        order.append("recover")
        return []

    monkeypatch.setattr(FakeSessions, "recover", recover)
    monkeypatch.setattr(loop, "become_subreaper", lambda: order.append("subreaper"))
    stage = Stage(tmp_path)
    stage.agent._put(lambda: order.append("first of the inbox"))
    await stage.begin()
    assert order == ["subreaper", "recover", "first of the inbox"]
    await stage.close()


async def test_a_machine_that_is_unwell_at_the_start_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    """It was looked at before the first offer."""
    fake(monkeypatch)
    stage = Stage(tmp_path)
    stage.unwell = ("disk low",)
    stage.link_up()
    await stage.until(lambda: any(order[0] == "status" for order in stage.link.orders), "a status")
    assert stage.status.state == "unwell"
    assert [entry["reasons"] for entry in log("unwell")] == [("disk low",)]
    await stage.close()


async def test_a_self_check_that_fails_at_the_start_is_said_and_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    """The next one is in a few seconds."""
    fake(monkeypatch)
    stage = Stage(tmp_path)

    async def fails() -> tuple[str, ...]:
        raise OSError("planted")

    stage.agent.parts.checks.health = fails  # type: ignore[method-assign]
    await stage.begin()
    assert log("part_failed")[0]["part"] == "self-check"
    await stage.close()


async def test_a_pause_from_before_is_told_with_what_ends_it(begin: Begin, tmp_path: Path, log: Any) -> None:
    """In the log, where who started it looks."""
    stage = await begin().begin()
    stage.steer("drain", reason="new disk")
    await stage.turned()
    stage.agent.restart("SIGUSR2")
    await stage.ended()
    await stage.close()
    again = Stage(tmp_path / "0")
    again.link_up()
    await again.until(lambda: log("paused"), "that it says so")
    assert log("paused") == [
        {
            "event": "paused",
            "log_level": "info",
            "reason": "asked by an operator: new disk",
            "remedy": "`master-bridge resume`",
        }
    ]
    await again.close()


async def test_the_first_keeper_is_prepared_soon_but_not_at_once(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start takes all of a processor."""
    monkeypatch.setattr(loop, "EXPECT_AFTER", 0.2)
    stage = await begin().begin()
    assert ("expect",) not in stage.sessions.orders
    await stage.until(lambda: ("expect",) in stage.sessions.orders, "the keeper")


async def test_a_claim_introduces_the_agent(begin: Begin) -> None:
    """By its name, what it can do, and what it has places for."""
    stage = await begin(name="builder7", slots=3).begin()
    first = await stage.held()
    (claim,) = stage.said("claim")
    assert (claim.agent, claim.instance) == ("builder7", stage.instance.uuid)
    assert claim.capabilities == stage.agent.parts.abilities.capabilities()
    assert claim.worker == stage.agent.parts.information("m", 0)
    assert len(stage.agent.machine.slots()) == 3
    assert await stage.claimed() != first


async def test_its_metrics_are_there_while_it_runs(begin: Begin) -> None:
    """And their port is free when it has ended."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    stage = await begin(metrics_host="127.0.0.1", metrics_port=port).begin()
    socket.create_connection(("127.0.0.1", port), DEADLINE).close()
    stage.agent.leave("SIGTERM")
    await stage.ended()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), DEADLINE)


# ---- what is done regularly


async def test_it_looks_after_its_machine_again_and_again(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its health, its epoch, strays; and who watches it sees that it turns."""
    strays: list[frozenset[int]] = []
    monkeypatch.setattr(loop, "reap_strays", strays.append)
    monkeypatch.setattr(loop, "HEALTH_EVERY", 0.02)
    stage = await begin().begin()
    remembered: list[None] = []
    monkeypatch.setattr(stage.instance, "remember", lambda: remembered.append(None))
    stage.sessions.keeper_pids, stage.link.children = {11, 12}, frozenset({14})
    monkeypatch.setattr(Here, "pids", {13})  # of the one that other threads have jobs for by now
    turned = stage.agent.telling.turned
    await stage.until(lambda: frozenset({11, 12, 13, 14}) in strays, "that strays are collected")
    await stage.until(lambda: len(remembered) > 1, "the epoch, again")
    assert stage.agent.telling.turned > turned
    stage.unwell = ("disk low",)
    await stage.until(lambda: stage.agent.machine.availability.unwell == ("disk low",), "its health")


@pytest.mark.parametrize("who", ["checks", "probing"])
async def test_nobody_is_taken_for_a_stray_while_probes_run(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """Their exit status would be taken from them."""
    strays: list[frozenset[int]] = []
    monkeypatch.setattr(loop, "reap_strays", strays.append)
    monkeypatch.setattr(loop, "HEALTH_EVERY", 0.01)
    stage = await begin().begin()
    await stage.until(lambda: strays, "one look before")
    setattr(stage.agent.parts, who, Running(getattr(stage.agent.parts, who)))
    looks: list[None] = []
    monkeypatch.setattr(stage.instance, "remember", lambda: looks.append(None))
    await stage.until(lambda: len(looks) > 1, "one look")
    del strays[:]
    await stage.until(lambda: len(looks) > 4, "looks")
    assert strays == []


class Running:
    """A part that has processes just now."""

    running = True

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


async def test_memory_is_given_back_whether_sessions_pause_or_not(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions without a pause made an agent grow by a megabyte an hour, of memory that was free."""
    given_back: list[None] = []
    monkeypatch.setattr(memory, "GIVE_BACK_EVERY", 0.01)
    monkeypatch.setattr(memory, "give_back", lambda: given_back.append(None))
    stage = await begin().begin()
    await stage.until(lambda: len(given_back) > 2, "memory to be given back")


async def test_it_makes_room_for_builds_again_and_again(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the loop: a disk may hang."""
    monkeypatch.setattr(loop, "ROOM_EVERY", 0.01)
    stage = begin()
    made: list[None] = []
    stage.agent.parts.builddirs.make_room = lambda: made.append(None) or []  # type: ignore[method-assign]
    await stage.begin()
    await stage.until(lambda: len(made) > 2, "room")


@pytest.mark.parametrize(
    ("part", "call"),
    [
        ("link", lambda parts: (parts.link, "run")),
        ("queues", lambda parts: (parts.queues, "run")),
        ("probes", lambda parts: (parts.probing, "run")),
        ("self-check", lambda parts: (parts.checks, "tell_health")),
        ("room for builds", lambda parts: (parts.builddirs, "make_room")),
    ],
)
async def test_a_part_that_fails_is_named(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, log: Any, part: str, call: Callable[[Any], Any]
) -> None:
    """And goes on after a moment."""
    monkeypatch.setattr(loop, "HEALTH_EVERY", 0.01)
    stage = begin()
    where, name = call(stage.agent.parts)

    def fails() -> Any:
        raise OSError("planted")

    setattr(where, name, fails)
    await stage.until(lambda: part in [entry["part"] for entry in log("part_failed")], "its name")


async def test_its_status_goes_on_after_an_error_too(begin: Begin, monkeypatch: pytest.MonkeyPatch, log: Any) -> None:
    """And is named."""

    async def fails(_: Any) -> None:
        raise OSError("planted")

    monkeypatch.setattr(telling.Telling, "run", fails)
    await begin().until(lambda: "status" in [entry["part"] for entry in log("part_failed")], "its name")


async def test_what_is_asked_for_once_is_named_where_it_fails(
    stage: Stage, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else ends with it."""

    async def fails(*_: Any) -> None:
        raise OSError("planted")

    monkeypatch.setattr(stage.agent.parts.probing, "ask", fails)
    monkeypatch.setattr(stage.agent.parts.checks, "before_claim", fails)
    monkeypatch.setattr(stage.agent, "_learn_facts", fails)
    stage.steer("probe")
    stage.offer()
    stage.link_up()
    expected = {"probing", "check before a claim", "facts of the machine"}
    await stage.until(lambda: expected <= {entry["part"] for entry in log("part_failed")}, "what failed")
    await stage.turned()


async def test_probes_wait_while_it_claims_or_holds_work(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told after each input."""
    told: list[bool] = []
    monkeypatch.setattr(stage.agent.parts.probing, "worked", told.append)
    session = await stage.held()
    await stage.turned()
    assert told[-1] is True
    stage.hear(Release(session=session, incarnation="I1"))
    await stage.turned()
    assert told[-1] is False


async def test_who_wants_traces_sees_what_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each input, with its wall clock."""
    fake(monkeypatch)
    seen: list[Any] = []
    traces = SimpleNamespace(saw=lambda what, now: seen.append(what))
    instance = Instance(tmp_path / "state")
    settings = Settings(
        state=tmp_path / "state", basedir=tmp_path, amqp_url=SecretStr("amqp://u@h/"), name="a1", capabilities_d=()
    )
    program: Any = object()
    agent = loop.Agent(settings, instance, traces=traces, give_back=program)  # type: ignore[arg-type]  # a double
    agent.parts.saw(inputs.Tick(), 0.0)
    assert seen == [inputs.Tick()]
    sessions: Any = agent.parts.sessions
    assert sessions.named["give_back"] is program, "and a keeper what it starts where this process is killed"
    agent.parts.errands.close()
    instance.close()


async def test_commands_run_as_the_user_that_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever looks after files looks as that one."""
    fake(monkeypatch)
    monkeypatch.setattr(parts, "ByUser", lambda user: SimpleNamespace(user=user))
    instance = Instance(tmp_path / "state")
    settings = Settings(
        state=tmp_path / "state", basedir=tmp_path, amqp_url=SecretStr("amqp://u@h/"), name="a1", capabilities_d=()
    )
    user: Any = SimpleNamespace(name="builder", environ=dict)
    agent_parts: Any = loop.Agent(settings, instance, user).parts
    assert agent_parts.sessions.named["run_as"] == "builder"
    assert agent_parts.errands.user is user
    instance.close()


async def test_figures_are_served_as_they_are_counted(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """And amounts as they are then."""
    served: list[tuple[Any, ...]] = []
    monkeypatch.setattr(telling.Telling, "serve", lambda self, *what: served.append(what))
    stage = await begin().begin()
    assert served == [(stage.agent.parts.figures, stage.agent.snapshots.amounts)]


async def test_amounts_count_the_sessions_that_there_are(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what their journals hold."""
    await stage.begin()
    monkeypatch.setattr(FakeSessions, "__len__", lambda self: 3)
    monkeypatch.setattr(FakeSessions, "journal_bytes", lambda self: 400)
    amounts = stage.agent.snapshots.amounts()
    assert (amounts.sessions, amounts.journal_bytes) == (3, 400)


async def test_an_order_to_move_goes_to_whoever_can(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it came."""
    ordered: list[Move] = []
    monkeypatch.setattr(stage.agent.parts.moving, "ordered", ordered.append)
    move = Move.model_construct(t="move", instance="another", key="k", sealed="00")
    stage.hear(move)
    await stage.turned()
    assert ordered == [move]


# ---- facts of the machine


async def test_facts_are_told_as_they_are_at_each_link(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have written another file meanwhile."""
    told: list[Any] = []
    monkeypatch.setattr(loop, "facts", lambda basedir, errands: (basedir, errands))
    monkeypatch.setattr(stage.agent.parts.information, "tell", told.append)
    stage.link_up()
    await stage.until(lambda: told, "the facts")
    assert told == [(stage.agent._settings.basedir, stage.agent.parts.errands)]


async def test_nobody_waits_for_a_disk_that_hangs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts are told as they were."""
    told: list[Any] = []

    async def hangs(_: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(loop, "aside", hangs)
    monkeypatch.setattr(loop, "FACTS_TIMEOUT", 0.01)
    monkeypatch.setattr(stage.agent.parts.information, "tell", told.append)
    await asyncio.wait_for(stage.agent._learn_facts(), DEADLINE)
    assert told == []


# ---- who is told


async def test_a_greeting_is_heard_by_the_queues_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds."""
    heard: list[tuple[str, str]] = []
    monkeypatch.setattr(stage.agent.parts.queues, "master_speaks", lambda m, i: heard.append((m, i)))
    stage.hear(Alive(master="m1", incarnation="I1"))
    stage.hear(RollCall(master="m2", incarnation="I2"))
    await stage.turned()
    assert heard == [("m1", "I1"), ("m2", "I2")]


async def test_capabilities_that_changed_are_told_to_the_queues_then_to_the_fleet(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the loop's turn."""
    told: list[str] = []
    monkeypatch.setattr(stage.agent.parts.queues, "capabilities_changed", lambda: told.append("queues"))
    monkeypatch.setattr(stage.agent.telling, "tell", lambda: told.append("fleet"))
    stage.agent.parts.probing._changed()
    assert told == []
    await stage.turned()
    assert told == ["queues", "fleet"]


async def test_it_looks_what_to_tell_once_for_all_that_has_happened(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And tells at once where its link has come up, once."""
    looks: list[bool] = []
    monkeypatch.setattr(stage.agent.telling, "look", lambda snapshot, *, now: looks.append(now))
    for _ in range(3):
        stage.hear(Alive(master="m1", incarnation="I1"))
    await stage.turned()
    assert looks == [False]
    looks.clear()
    stage.link.put(inputs.LinkUp(epoch=stage.link.epoch, address=stage.link.address, opened_at=0.0))
    stage.hear(Alive(master="m1", incarnation="I1"))
    await stage.turned()
    stage.hear(Alive(master="m1", incarnation="I1"))
    await stage.turned()
    assert looks == [True, False]


async def test_who_asks_for_its_status_gets_it(stage: Stage) -> None:
    """At once."""
    del stage.link.orders[:]
    stage.link.asked()
    assert [order[0] for order in stage.link.orders] == ["status"]


async def test_health_is_told_when_it_is_another_one(stage: Stage, log: Any) -> None:
    """Another reason is told to the fleet, and is no news for the log: it was unwell before."""
    for reasons in ((), ("disk low",), ("disk low", "clock off"), ("clock off",), (), ()):
        stage.agent._found_health(reasons)
        assert stage.agent.machine.availability.unwell == reasons
    assert [entry["reasons"] for entry in log("unwell")] == [("disk low",)]
    assert len(log("well_again")) == 1
    told = heard(stage)
    stage.agent._found_health(())
    assert told == []
    stage.agent._found_health(("disk low",))
    assert told == [inputs.Wellness(reasons=("disk low",))]


# ---- sealed messages


async def test_a_sealed_message_is_opened_in_its_turn(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whose it is; the machine learns that it was sealed."""
    opened: list[tuple[Any, str]] = []

    def incoming(message: Any, user: str) -> Any:
        opened.append((message, user))
        return INSIDE

    monkeypatch.setattr(stage.agent.parts.seals, "incoming", incoming)
    told = heard(stage)
    stage.hear(SEALED)
    await stage.turned()
    assert opened == [(SEALED, USER)]
    assert told == [inputs.MessageReceived(message=INSIDE, user=USER, sealed=True)]


async def test_what_nobody_here_can_open_goes_on_as_it_is(stage: Stage) -> None:
    """The machine knows no such session; it was not sealed for anybody here."""
    told = heard(stage)
    stage.hear(SEALED)
    await stage.turned()
    assert told == [inputs.MessageReceived(message=SEALED, user=USER, sealed=False)]


async def test_a_wrong_seal_is_rejected_with_its_reason(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    """Whose it was is in the log; nothing of it is believed."""

    def incoming(message: Any, user: str) -> Any:
        raise BadSeal("it was changed")

    monkeypatch.setattr(stage.agent.parts.seals, "incoming", incoming)
    told = heard(stage)
    stage.hear(SEALED)
    await stage.turned()
    assert ("reject", SEALED, "it was changed") in stage.link.orders
    assert told == [inputs.MessageReceived(message=SEALED, user=USER)]
    (entry,) = log("message_sender_not_verified")
    assert (entry["type"], entry["user"], entry["reason"]) == ("sealed", USER, "it was changed")


# ---- offers that cannot be handled


async def test_a_buried_offer_is_out_of_hand_and_its_error_is_said(stage: Stage, log: Any) -> None:
    """The machine forgets the delivery."""
    told = heard(stage)
    handle = stage.agent.machine.handle

    def fails(input: Any, now: float) -> Any:
        if isinstance(input, inputs.OfferDelivered):
            raise RecursionError("planted")
        return handle(input, now)

    stage.agent.machine.handle = fails  # type: ignore[method-assign]
    delivery = stage.offer()
    await stage.until(lambda: inputs.DeliveryLost(delivery=delivery) in told, "that it is lost")
    assert [entry["part"] for entry in log("part_failed")] == ["agent"]


async def test_figures_that_fail_are_said_and_cost_nothing(stage: Stage, log: Any) -> None:
    """Whoever watches must not stand in the way."""

    def fails(*_: Any) -> None:
        raise OSError("planted")

    stage.agent.parts.saw = stage.agent.parts.did = fails  # type: ignore[method-assign, assignment]
    await stage.claimed()
    assert {entry["part"] for entry in log("part_failed")} == {"figures"}


# ---- its timer


async def test_the_timer_is_the_earlier_of_two(begin: Begin) -> None:
    """What the machine waits for, and the time at which the agent is to leave by itself."""
    stage = await begin(exit_after_idle=3600.0).begin()
    parts, agent = stage.agent.parts, stage.agent
    await stage.turned()
    assert agent._timer is not None
    deadlines = [due for due in (agent.machine.deadline, parts.lifetime.deadline) if due is not None]
    assert agent._timer.when() == min(deadlines)
    parts.lifetime = SimpleNamespace(deadline=None, reason=None)  # type: ignore[assignment]
    agent.machine = SimpleNamespace(deadline=None)  # type: ignore[assignment]
    before = agent._timer
    agent._set_timer()
    assert before.cancelled()
    assert agent._timer is None
    agent.machine = SimpleNamespace(deadline=agent._loop.time() + 0.05)  # type: ignore[assignment]
    agent._set_timer()
    assert agent._timer is not None
    assert agent._timer.when() == agent.machine.deadline


async def test_an_agent_that_is_up_for_long_enough_leaves(begin: Begin, log: Any) -> None:
    """By its timer, without anything that happens."""
    stage = await begin(max_uptime=0.3).begin()
    assert await stage.ended() is EndReason.LEFT
    assert [entry["reason"] for entry in log("draining")] == ["up for 0.3 s"]
    assert stage.agent.asked_to_leave()


# ---- what it was asked


async def test_who_left_was_asked_to_and_who_broke_was_not(begin: Begin) -> None:
    """Whoever starts it anew must know."""
    stage = await begin().begin()
    assert not stage.agent.asked_to_leave()
    stage.agent._finish(EndReason.FAILED)
    stage.agent._put(inputs.Tick())
    await stage.ended()
    assert not stage.agent.asked_to_leave()
    for order in (inputs.Leave(reason="SIGTERM"), inputs.Stop(reason="stop")):
        stage.agent._put(inputs.Tick())
        stage.agent._put(order)
        stage.agent._put(inputs.Tick())
        assert stage.agent.asked_to_leave(), "an order to which it has not come"
        assert not stage.agent.asked_to_leave()


async def test_an_end_is_never_made_better(stage: Stage) -> None:
    """A part that breaks while it leaves is to be looked at."""
    for ending, expected in (
        (EndReason.LEFT, EndReason.LEFT),
        (EndReason.RESTART, EndReason.RESTART),
        (EndReason.LEFT, EndReason.RESTART),
        (EndReason.FAILED, EndReason.FAILED),
        (EndReason.RESTART, EndReason.FAILED),
    ):
        stage.agent._finish(ending)
        assert stage.agent._ending is expected


async def test_a_restart_ends_the_run_though_nothing_comes(stage: Stage, log: Any) -> None:
    """What was asked of it is in the log."""
    stage.agent.restart("SIGUSR2")
    assert await stage.ended() is EndReason.RESTART
    assert [entry["reason"] for entry in log("restarting")] == ["SIGUSR2"]
    assert not [order for order in stage.link.orders if order[0] == "status" and order[1].state == "leaving"]


@pytest.mark.parametrize("order", ["drain", "leave", "stop", "restart", "probe", "resume"])
async def test_an_operators_reason_is_in_the_log(stage: Stage, log: Any, order: str) -> None:
    """With that it was an operator."""
    event = {
        "drain": "pausing", "leave": "draining", "stop": "stopping", "restart": "restarting", "probe": "probing",
        "resume": "resuming",
    }[order]  # fmt: skip
    stage.steer(order, reason="new disk")
    await stage.until(lambda: log(event), "what it says")
    assert [entry["reason"] for entry in log(event)] == ["asked by an operator: new disk"]


async def test_an_order_without_a_reason_has_none(stage: Stage, log: Any) -> None:
    """And no colon."""
    stage.steer("drain")
    await stage.until(lambda: log("pausing"), "what it says")
    assert [entry["reason"] for entry in log("pausing")] == ["asked by an operator"]


@pytest.mark.parametrize("setting", ["exit_after_idle", "max_uptime"])
async def test_a_resume_lets_an_agent_begin_its_times_anew(begin: Begin, setting: str) -> None:
    """Who steers it wants it to go on."""
    stage = await begin(**{setting: 3600.0}).begin()
    before = stage.agent.parts.lifetime.deadline
    stage.steer("resume")
    await stage.turned()
    assert before is not None
    assert stage.agent.parts.lifetime.deadline is not None
    assert stage.agent.parts.lifetime.deadline > before


# ---- how it ends


async def test_tasks_that_swallow_a_cancellation_are_cancelled_again(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.11's `wait_for` does that."""
    monkeypatch.setattr(forever, "CANCEL_AGAIN", 0.01)
    stage = await begin().begin()
    swallowed: list[None] = []

    async def stubborn() -> None:
        while len(swallowed) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(None)

    stage.agent._tasks.once("stubborn", stubborn())
    await ticks(2)
    closed: list[None] = []
    monkeypatch.setattr(stage.agent.parts.errands, "close", lambda: closed.append(None))
    stage.agent.leave("SIGTERM")
    assert await stage.ended() is EndReason.LEFT
    assert len(swallowed) == 3
    assert len(stage.agent._tasks) == 0
    assert closed == [None]


async def test_a_run_that_is_cancelled_ends_its_tasks_too(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it goes on."""
    stage = await begin().begin()
    closed: list[None] = []
    monkeypatch.setattr(stage.agent.parts.errands, "close", lambda: closed.append(None))
    assert len(stage.agent._tasks) > 0
    await stage.close()
    assert len(stage.agent._tasks) == 0
    assert closed == [None]


async def test_a_part_that_fails_whenever_it_is_tried_ends_the_agent(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    """Whoever watches it starts it anew."""
    monkeypatch.setattr("worker_agent.agent.forever.PAUSE", 0.0)
    stage = begin()

    async def fails() -> None:
        raise ValueError("planted")

    stage.agent.parts.queues.run = fails  # type: ignore[method-assign]
    assert await stage.ended() is EndReason.FAILED
    assert [entry["reason"] for entry in log("agent_failed")] == ["queues failed 5 times in a row"]


async def test_a_stop_waits_for_sessions_as_long_as_it_may(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    """What ends in time has ended well."""
    monkeypatch.setattr(loop, "STOP_TIMEOUT", 30.0)
    await stage.held()
    stage.sessions.ended.clear()
    stage.steer("stop")
    await stage.until(lambda: stage.agent._ending is EndReason.LEFT, "the machine's end")
    stage.sessions.ended.set()
    assert await stage.ended() is EndReason.LEFT
    assert stage.sessions.orders[-1] == ("idle",)
    assert log("stop_forced") == []
    assert log("messages_unconfirmed_at_exit") == []


async def test_a_stop_that_is_forced_says_what_holds_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    """How many sessions there are; nobody waits for them any more."""
    monkeypatch.setattr(loop, "STOP_TIMEOUT", 0.1)
    monkeypatch.setattr(FakeSessions, "__len__", lambda self: 2)
    await stage.held()
    stage.sessions.ended.clear()
    stage.agent._put(inputs.Stop(reason="enough"))
    assert await stage.ended() is EndReason.FAILED
    assert [entry["sessions"] for entry in log("stop_forced")] == [2]
    await ticks(3)
    assert ("idle",) not in stage.sessions.orders


async def test_a_leave_waits_for_sessions_without_an_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build may take days."""
    monkeypatch.setattr(loop, "STOP_TIMEOUT", 0.05)
    stage.sessions.ended.clear()
    stage.agent.leave("SIGTERM")
    await stage.until(lambda: stage.agent._ending is EndReason.LEFT, "the machine's end")
    await asyncio.sleep(0.2)
    assert not stage.run.done()
    stage.sessions.ended.set()
    assert await stage.ended() is EndReason.LEFT
