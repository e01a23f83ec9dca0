"""What is done once for many who ask."""

from __future__ import annotations

from twisted.internet.task import Clock

from master_bridge.buildbot.regularly import Soon


def test_all_who_ask_together_are_served_together() -> None:
    """Put off while more come, but not for ever; then anew."""
    clock, done = Clock(), list[float]()
    soon = Soon(0.1, 1.0, lambda: done.append(round(clock.seconds(), 2)))
    for _ in range(30):
        soon.ask(clock)
        clock.advance(0.05)
    assert len(done) == 1
    assert 0.9 <= done[0] <= 1.0
    clock.advance(0.2)
    assert len(done) == 2
    soon.ask(clock)
    soon.cancel()
    clock.advance(1.0)
    assert len(done) == 2
