"""An agent whose claims nobody would read takes no work, and says why."""

from __future__ import annotations

from contracts.codec import encode
from contracts.messages import Capability, Claim, WorkerInfo
from worker_agent.agent.introduction import INTRODUCTION_MAX, Introduction


def capabilities(number: int) -> tuple[Capability, ...]:
    return tuple(Capability(name=f"{n:0>128}", version="9" * 128) for n in range(number))


def info(environ: int = 0) -> WorkerInfo:
    return WorkerInfo(version="1", basedir="/b", environ={"A": "\x01" * environ})


def test_an_ordinary_agent_can_introduce_itself() -> None:
    """As it is asked each few seconds, it weighs only what has changed."""
    asked = []

    def worker_info(master: str, slot: int) -> WorkerInfo:
        asked.append(master)
        return info()

    found = capabilities(300)
    introduction = Introduction(worker_info, lambda: found)
    assert introduction.reasons() == introduction.reasons() == ()
    assert len(asked) == 1


def test_too_many_capabilities_or_too_large_an_environment_are_told() -> None:
    """With size and limit, and again when it fits."""
    found = [capabilities(8000)]
    introduction = Introduction(lambda master, slot: info(), lambda: found[0])
    (reason,) = introduction.reasons()
    assert "8000 capabilities" in reason
    assert str(INTRODUCTION_MAX) in reason
    found[0] = capabilities(10)
    assert introduction.reasons() == ()
    assert Introduction(lambda master, slot: info(INTRODUCTION_MAX), lambda: ()).reasons()


def test_bytes_that_are_no_utf_8_are_weighed_as_they_are_sent() -> None:
    """A variable of the environment may hold any bytes; an agent is not to end of that at its start."""
    odd = WorkerInfo(version="1", basedir="/b", environ={"CAFE": "caf\udce9"})
    assert Introduction(lambda master, slot: odd, lambda: ()).reasons() == ()


def test_what_is_just_small_enough_fits_into_a_claim() -> None:
    """Whatever else is in it."""
    found = capabilities(1700)
    assert not Introduction(lambda master, slot: info(), lambda: found).reasons()
    encode(
        Claim(
            session="s", offer="o", request="r" * 200, master="m" * 128, run=1, instance="i", agent="a" * 128, epoch=1,
            address="agent.u.i.n", ticket="t" * 200, capabilities=found, worker=info(),
        )
    )  # fmt: skip
