"""How often a status is told is bounded (rule 27): nobody makes agents silent, or talkative, or be known for ever."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.codec import decode, encode
from contracts.errors import BadMessage
from contracts.messages import Alive, Status
from contracts.timing import STATUS_INTERVAL, STATUS_INTERVAL_MAX

ALIVE = b'{"t": "alive", "v": 1, "master": "m", "incarnation": "i"%s}'
STATUS = (
    b'{"t": "status", "v": 1, "instance": "i", "agent": "a", "epoch": 1, "address": "agent.u.i.n", "version": "1", '
    b'"now": 1.0, "state": "ready", "slots": [], "capabilities": []%s}'
)


@pytest.mark.parametrize(
    "said", ["0", "-5", "0.001", "4", "61", "3600", "1e300", "NaN", "null", '"often"', "[5]", "7.5"]
)
def test_what_is_out_of_bounds_is_no_message(said: str) -> None:
    for text, field in ((ALIVE, "status_every"), (STATUS, "every")):
        with pytest.raises(BadMessage):
            decode(text % f', "{field}": {said}'.encode(), {})


@pytest.mark.parametrize("value", [0, 4, 61, 10**9])
def test_nobody_writes_it(value: Any) -> None:
    with pytest.raises(ValidationError):
        Alive(master="m", incarnation="i", status_every=value)


def test_who_says_nothing_of_it_means_what_was_always_meant() -> None:
    """Masters and agents of others, and older ones; and where it is meant nothing is said."""
    alive, status = decode(ALIVE % b"", {}), decode(STATUS % b"", {})
    assert isinstance(alive, Alive)
    assert isinstance(status, Status)
    assert (alive.status_every, status.every, status.silent_after) == (5, 5, 15.0)
    for message, field in ((alive, b"status_every"), (status, b"every")):
        assert field not in encode(message).body
        assert decode(encode(message).body, {}) == message


@pytest.mark.parametrize("every", [int(STATUS_INTERVAL), 6, 25, STATUS_INTERVAL_MAX])
def test_it_is_read_as_it_was_written(every: int) -> None:
    alive = decode(encode(Alive(master="m", incarnation="i", status_every=every)).body, {})
    assert isinstance(alive, Alive)
    assert alive.status_every == every
    status = decode(STATUS % f', "every": {every}'.encode(), {})
    assert isinstance(status, Status)
    assert status.silent_after == 3 * every
