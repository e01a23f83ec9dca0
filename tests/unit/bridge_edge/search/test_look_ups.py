"""Buildbot's database is asked at a bounded rate, whatever agents bring up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet import defer, task

from master_bridge.buildbot.search.requests import LookUps


class Data:
    """Notes what it is asked; a request with an odd number is complete."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def get(self, path: tuple[str, int]) -> defer.Deferred[dict[str, bool]]:
        self.asked.append(path[1])
        return defer.succeed({"complete": path[1] % 2 == 1})


def test_look_ups_are_bounded_a_second_and_answered_in_turn() -> None:
    answers: list[Any] = []
    clock, data = task.Clock(), Data()
    look_ups = LookUps(SimpleNamespace(reactor=clock, data=data), a_second=10)
    for number in range(30):
        look_ups.is_complete(f"br-{number}").addCallback(answers.append)
    clock.pump([0.1] * 10)
    assert 10 <= len(data.asked) <= 11
    clock.pump([0.1] * 20)
    assert data.asked == list(range(30))
    assert answers == [False, True] * 15


def test_after_a_pause_the_first_one_is_asked_at_once() -> None:
    clock, data = task.Clock(), Data()
    look_ups = LookUps(SimpleNamespace(reactor=clock, data=data), a_second=10)
    clock.advance(100.0)
    look_ups.is_complete("br-1")
    clock.advance(0)
    assert data.asked == [1]
