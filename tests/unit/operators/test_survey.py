"""An operator's look at the fleet: until all agents have had the time to tell of themselves (rule 27)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from contracts import topology
from contracts.codec import encode
from contracts.messages import Status
from contracts.trust.envelope import Envelope
from master_bridge.operating import survey as module
from master_bridge.operating.errors import NotPermitted
from master_bridge.operating.survey import Survey


class Fleet:
    """A broker with agents that tell their statuses at these seconds, and a clock that goes on while somebody waits."""

    def __init__(self, every: int, *tell_at: float, may_ask: bool) -> None:
        self.now = 0.0
        self._every, self._tell_at, self._may_ask = every, list(tell_at), may_ask
        self._heard: Any = None

    def hear_fleet(self, heard: Any) -> None:
        self._heard = heard

    def tell(self, key: str, body: bytes, *, mandatory: bool) -> None:
        assert (key, body, mandatory) == (topology.TELL, b"", False)
        if not self._may_ask:
            raise NotPermitted("it may not")
        self._tell_at = [self.now + 0.1 for _ in self._tell_at]

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for number, at in enumerate(self._tell_at):
            if at <= self.now:
                self._tell_at[number] = at + self._every
                self._say(number)

    def _say(self, number: int) -> None:
        status = Status(
            instance=f"i-{number}", agent=f"a-{number}", epoch=1, address=f"agent.u.i-{number}.n", version="1",
            now=self.now, state="ready", slots=(), capabilities=(), every=self._every,
        )  # fmt: skip
        wire = encode(status)
        envelope = Envelope(exchange=topology.FLEET, routing_key=topology.STATUS_KEY, user_id="u", dead_lettered=False)
        self._heard(envelope, wire.body, {})


def survey(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Survey:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: fleet.now, time=lambda: 1e9 + fleet.now))
    return Survey(fleet).open()  # type: ignore[arg-type]


def names(found: Survey) -> list[str]:
    return [status.agent.removesuffix("@u") for status in found.agents]


def test_agents_that_are_asked_answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However seldom they tell of themselves."""
    fleet = Fleet(60, 50.0, 55.0, may_ask=True)
    assert names(survey(fleet, monkeypatch).gather()) == ["a-0", "a-1"]
    assert fleet.now < 2.0


@pytest.mark.parametrize(("every", "last", "within"), [(5, 4.9, 7.0), (25, 24.0, 27.0), (60, 59.0, 62.0)])
def test_those_that_cannot_be_asked_are_waited_for(
    every: int, last: float, within: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as those that were heard meanwhile say."""
    fleet = Fleet(every, 1.0, 3.0, last, may_ask=False)
    assert names(survey(fleet, monkeypatch).gather()) == ["a-0", "a-1", "a-2"]
    assert every < fleet.now < within


@pytest.mark.parametrize(("every", "kept"), [(5, 15.0), (25, 75.0), (60, 180.0)])
def test_an_agent_is_kept_as_long_as_it_says(every: int, kept: float, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(every, 0.0, may_ask=False)
    found = survey(fleet, monkeypatch)
    fleet.wait(0.0)
    fleet.now = kept
    assert names(found) == ["a-0"]
    fleet.now = kept + 0.1
    assert names(found) == []
