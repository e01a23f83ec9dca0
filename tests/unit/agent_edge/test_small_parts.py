"""The agent's small parts: health, lifetime, build directories, identity, meta files, deaths, figures."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from pathlib import Path

import pytest

from contracts.messages import Offer, SlotStatus
from contracts.timing import PARKINGS_MAX
from tests.harness.waiting import wait_for
from worker_agent.agent.aside import aside
from worker_agent.agent.forever import MACHINE
from worker_agent.agent.health import MEBIBYTE, Health, Least, PatientHealth
from worker_agent.agent.instance import Instance, StateInUse
from worker_agent.agent.lifetime import Lifetime
from worker_agent.core.inputs import SessionMeta
from worker_agent.keepers import metas
from worker_agent.keepers.builddirs import BuildDirs
from worker_agent.link.incoming import deaths, too_long_parked
from worker_agent.link.options import LinkOptions
from worker_agent.state_files import StateUnreadable


def test_a_machine_without_room_for_a_thread_is_a_machines_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a part of the agent that wants one waits, and does not end the agent."""

    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def want_one() -> None:
        monkeypatch.setattr(threading.Thread, "start", refused)
        with pytest.raises(MACHINE, match="can't start new thread"):
            await aside(lambda: None)

    asyncio.run(want_one())


def test_health_does_not_flutter(tmp_path: Path) -> None:
    """Below the least unwell; well again only a quarter above it."""
    free = {"disk": 100 * MEBIBYTE, "temporary space": 100 * MEBIBYTE, "memory": 100 * MEBIBYTE}
    least = Least(disk=80 * MEBIBYTE, temp=0, memory=0)
    health = Health(least, tmp_path, measure=lambda: free)
    assert health.check() == ()
    free["disk"] = 79 * MEBIBYTE
    assert "disk low" in health.check()[0]
    free["disk"] = 90 * MEBIBYTE
    assert "needs 100 MiB" in health.check()[0]
    free["disk"] = 100 * MEBIBYTE
    assert health.check() == ()


def test_health_asks_the_real_machine(tmp_path: Path) -> None:
    """Also for a base directory that is not there yet."""
    too_much = 1 << 60
    health = Health(Least(disk=too_much, temp=too_much, memory=too_much), tmp_path / "not" / "yet")
    assert len(health.check()) == 3


IDLE, HELD = (SlotStatus(state="idle"),), (SlotStatus(state="held"),)


def test_lifetime_counts_idleness_from_the_last_work() -> None:
    """Idle for 10 s means 10 s without a break."""
    life = Lifetime(now=0.0, after_idle=10.0, after_build=False, max_uptime=None)
    assert life.deadline == 10.0
    assert not life.look(IDLE, 9.0)
    assert not life.look(HELD, 9.5)
    assert life.deadline is None
    assert not life.look(IDLE, 20.0)
    assert not life.look(IDLE, 29.9)
    assert life.look(IDLE, 30.0)
    assert not life.look(IDLE, 31.0)  # said once


def test_lifetime_ends_with_the_first_build_or_the_time() -> None:
    """A build asked for is noted when it is held; the time counts while working, too."""
    assert Lifetime(now=0.0, after_idle=None, after_build=True, max_uptime=None).look(HELD, 1.0)
    assert Lifetime(now=0.0, after_idle=None, after_build=False, max_uptime=5.0).look(HELD, 5.0)


def test_build_directories_go_oldest_first_and_never_in_use(tmp_path: Path) -> None:
    """Three directories, room for one: the one in use and the youngest stay."""
    names = ("oldest", "in-use", "middle", "youngest")
    # Enough is free as soon as two are gone.
    dirs = BuildDirs(tmp_path, keep_free=2, free=lambda _: sum(not path.exists() for path in paths))
    paths = [Path(dirs.take("m", 0, name)) for name in names]
    for age, path in enumerate(paths):
        os.utime(tmp_path / "m" / "last-used-0" / path.name, (age, age))
        if path.name != "in-use":
            dirs.give_back("m", 0, path.name)

    gone = dirs.make_room()
    assert [os.path.basename(path) for path in gone] == ["oldest", "middle"]
    assert [path.name for path in paths if path.exists()] == ["in-use", "youngest"]
    assert dirs.make_room() == []


def test_an_instance_is_one_process_and_its_epochs_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The uuid stays, the epoch grows across processes, and a second holder is refused."""
    monkeypatch.setattr("worker_agent.agent.instance.LOCK_PATIENCE", 0.1)
    first = Instance(tmp_path)
    assert [first.next_epoch(), first.next_epoch()] == [1, 2]
    with pytest.raises(StateInUse, match="--state"):
        Instance(tmp_path)
    first.close()
    second = Instance(tmp_path)
    assert (second.uuid, second.next_epoch()) == (first.uuid, 3)
    second.close()
    (tmp_path / "instance.json").write_text("{")
    with pytest.raises(StateUnreadable, match="remove it"):
        Instance(tmp_path)


def test_who_gives_back_sees_that_an_agent_waits_and_waits_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker_agent.agent.instance.GIVING_BACK_PATIENCE", 0.1)
    giving_back = Instance(tmp_path, gives_back=True)
    assert not giving_back.wanted
    with pytest.raises(StateInUse):  # each keeper starts such a program
        Instance(tmp_path, gives_back=True)
    assert not giving_back.wanted
    agents: list[Instance] = []
    successor = threading.Thread(target=lambda: agents.append(Instance(tmp_path)))
    successor.start()
    wait_for(lambda: giving_back.wanted, 10, lambda: "the agent waits")
    giving_back.close()
    successor.join()
    assert not agents[0].wanted
    shutil.rmtree(tmp_path)
    assert not agents[0].wanted
    agents[0].close()


def test_a_process_that_was_just_being_started_keeps_no_agent_away(tmp_path: Path) -> None:
    """The former agent is gone, but for a child of it that is no other program yet and so holds the lock, too."""
    former = Instance(tmp_path)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)  # until the test lets it go on to its program
        os._exit(0)
    os.close(reading)
    former.close()
    going_on = threading.Timer(0.3, os.close, [writing])
    going_on.start()
    again = Instance(tmp_path)
    going_on.join()
    os.waitpid(child, 0)
    assert again.uuid == former.uuid
    again.close()


def test_a_meta_file_can_be_read_back(tmp_path: Path) -> None:
    """All of `SessionMeta` comes back; a broken one is found and said to be none."""
    offer = Offer(
        offer="o",
        request="br-1",
        master="m",
        user="bridge",
        ticket="t",
        run=1,
        signature="any",
        kind="build",
        published=1.5,
        builddir="b",
        fencing=9.0,
    )
    meta = SessionMeta(session="s", offer=offer, slot=2, resumes=True, aside=True, granted=True, run=7)
    metas.persist(str(tmp_path / "sessions" / "s"), meta)
    (tmp_path / "sessions" / "broken").mkdir()
    (tmp_path / "sessions" / "no-folder").touch()
    assert [found for _, found in metas.find(str(tmp_path / "sessions"))] == [None, meta]
    with pytest.raises(ValueError, match="not a session"):
        metas.load("{}")


@pytest.mark.parametrize(
    ("headers", "number"),
    [
        ({}, 0),
        ({"x-death": [{"count": 2, "queue": "a"}, {"count": 3, "queue": "b"}]}, 5),
        ({"x-death": [{"queue": "a"}]}, 1),
        ({"x-death": "nonsense"}, 1),
        ({"x-death": [{"count": -4}]}, 1),
    ],
)
def test_deaths_are_summed(headers: dict[str, object], number: int) -> None:
    """Over all queues and reasons; what cannot be counted counts as one."""
    assert deaths(headers) == number


@pytest.mark.parametrize(
    ("headers", "too_long"),
    [
        ({}, False),
        ({"x-death": "nonsense"}, False),
        ({"x-death": [{"reason": "expired", "count": 1000}]}, False),
        ({"x-death": [{"reason": "rejected", "count": PARKINGS_MAX - 1}]}, False),
        ({"x-death": [{"reason": "expired", "count": 9}, {"reason": "rejected", "count": PARKINGS_MAX}]}, True),
    ],
)
def test_an_offer_of_another_version_is_parked_a_bounded_number_of_times(
    headers: dict[str, object], too_long: bool
) -> None:
    """Rejections count: each parking is one, and one expiry."""
    assert (too_long_parked(headers) is not None) is too_long


def test_a_url_in_a_log_has_no_password() -> None:
    """Neither user nor password; and the repr of the options has no URL at all."""
    assert LinkOptions(url="amqps://u:hunter2@[::1]:5671/v", name="n").where == "amqps://[::1]:5671/v"
    options = LinkOptions(url="amqp://u%40x:hunter2@h/v", name="n")
    assert "hunter2" not in repr(options)
    assert options.user == "u@x"
    assert "hunter2" not in options.where


async def test_a_self_check_that_ends_just_when_another_begins_is_answered() -> None:
    """The one before a claim and the regular one meet: each hears of a look that was made for it."""
    looks = iter([("first",), ("second",)])
    health = PatientHealth(lambda: next(looks))
    first = asyncio.ensure_future(health.check())
    await asyncio.sleep(0)
    asked = health._asked
    assert asked is not None

    async def ask_again() -> tuple[str, ...]:
        while not asked.done():
            await asyncio.sleep(0)
        return await health.check()  # in the same turn, before whoever waits for the first look goes on

    assert await asyncio.gather(first, ask_again()) == [("first",), ("second",)]
