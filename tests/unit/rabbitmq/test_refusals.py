"""What a broker's refusal of a declaration means. The texts are those of 3.10.8, 4.0.5 and 4.3.6."""

from __future__ import annotations

import pytest

from contracts.rabbitmq.refusals import Differs, Locked, NotTaken, Unknown, refusal

INEQUIVALENT = "PRECONDITION_FAILED - inequivalent arg "
INVALID = "PRECONDITION_FAILED - invalid "


@pytest.mark.parametrize(
    ("text", "told", "usable"),
    [
        ("'x-max-priority' for queue 'cap.gtk' in vhost '/': received the value '10' of type 'signedint' but current "
         "is none", "queue cap.gtk exists with another x-max-priority: we ask for 10, it has none", True),
        ("'x-max-length-bytes' for queue 'events.m' in vhost 'v/w': received none but current is the value '5' of type "
         "'long'", "queue events.m exists with another x-max-length-bytes: we ask for none, it has 5", True),
        ("'x-queue-type' for queue 'dead' in vhost '/': received 'classic' but current is 'quorum'",
         "queue dead exists with another type: we ask for classic, it has quorum", True),
        ("'x-queue-type' for queue 'parked' in vhost '/': received 'classic' but current is 'stream'",
         "queue parked exists with another type: we ask for classic, it has stream", False),
        ("'durable' for queue 'cap.a' in vhost '/': received 'true' but current is 'false'",
         "queue cap.a exists with another durable: we ask for true, it has false", True),
        ("'type' for exchange 'bb.control' in vhost '/': received 'topic' but current is 'direct'",
         "exchange bb.control exists with another type: we ask for topic, it has direct", False),
        ("'durable' for exchange 'bb.dead' in vhost '/': received 'true' but current is 'false'",
         "exchange bb.dead exists with another durable: we ask for true, it has false", False),
    ],
)  # fmt: skip
def test_what_is_there_otherwise(text: str, told: str, usable: bool) -> None:
    """Which it is, what we ask for and what it has; an exchange is never "used as it is", nor is a stream."""
    found = refusal(406, INEQUIVALENT + text)
    assert isinstance(found, Differs)
    assert str(found).startswith(told)
    assert found.usable is usable
    assert ("used as it is" in str(found)) is usable
    assert ("delete" in str(found)) is not usable


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("arg 'x-consumer-timeout' for queue 'cap.gtk' in vhost '/' of queue type rabbit_classic_queue",
         "does not take x-consumer-timeout for queue cap.gtk (of queue type rabbit_classic_queue), so the queue was "
         "not made"),
        ("arg 'x-message-ttl' for queue 'parked' in vhost '/': {value_negative,-4}",
         "does not take x-message-ttl for queue parked ({value_negative,-4})"),
        ("property 'exclusive-owner' for queue 'agent.a.b.c' in vhost '/'",
         "does not take exclusive-owner for queue agent.a.b.c, so the queue was not made"),
    ],
)  # fmt: skip
def test_what_a_broker_does_not_take_is_not_there(text: str, told: str) -> None:
    """The other meaning of 406: nothing exists, and nothing is used as it is."""
    found = refusal(406, INVALID + text)
    assert isinstance(found, NotTaken)
    assert told in str(found)
    assert "exists" not in str(found)


def test_what_is_another_programs_own() -> None:
    """405."""
    text = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'dead' in vhost '/'. It could"
    found = refusal(405, text)
    assert isinstance(found, Locked)
    assert "queue dead is there as another program's own" in str(found)


@pytest.mark.parametrize("text", ["PRECONDITION_FAILED - unknown delivery tag 7", "", "inequivalent arg"])
def test_what_is_not_understood_is_quoted(text: str) -> None:
    """Nothing is guessed."""
    found = refusal(406, text)
    assert isinstance(found, Unknown)
    assert text in str(found)
