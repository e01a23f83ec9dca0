"""What others wrote, as it gets to a terminal, a page and a log; numbers of theirs."""

from __future__ import annotations

import json
import time
from typing import Any

import pika
import pytest

from contracts.codec import decode
from contracts.errors import BadMessage
from contracts.messages import Capability, SlotStatus, Status
from contracts.operations.log_rendering import without_orders
from contracts.readable import duration, finite, moment, shown, shown_lines
from master_bridge.fleet.agents import Agents
from master_bridge.fleet.lines import Choice
from master_bridge.operating.deadletters import read
from master_bridge.operating.picture import Picture, draw
from master_bridge.operating.port import QueueFigures
from master_bridge.operating.why import doing

ORDERS = (
    "\x1b]0;title\x07", "\x1b]52;c;Zm9v\x07", "\x1b[2J", "\x9b31m", "\u202eabc", "a\nb", "a\rb", "\x00", "\x7f",
    "\u2066", "\u2028", "\ud800", "[/x]", "[red]", "[link=http://x]y", ":smile:",
)  # fmt: skip
NUMBERS = (float("nan"), float("inf"), -float("inf"), 2**62, -(2**62), 1e308, 10**400)


def status(text: str, slots: int = 1, since: float = 1.0) -> Status:
    slot = SlotStatus.model_construct(state="held", session=text, master=text, title=text, since=since)
    return Status.model_construct(
        instance="i", agent=text, epoch=1, address="agent.u.i.n", version=text, now=1.0, state="paused",
        reasons=(text,), slots=(slot,) * slots, queues=(text,),
        capabilities=(Capability.model_construct(name=text, version=text),),
    )  # fmt: skip


def picture(status: Status, **rest: Any) -> Picture:
    fleet = Agents()
    fleet.hear(status, 2.0)
    return Picture.made(now=2.0, fleet=fleet, columns={}, works=(), **rest)


def clean(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("text", ORDERS)
def test_no_text_is_an_order(text: str) -> None:
    """In a line, in lines, in a log's event, in the tables of `fleet`, in what an agent does, in a dead letter."""
    assert shown(text).isprintable()
    assert clean(shown_lines(text))
    event: Any = without_orders(None, "info", {"event": text, "name": text, "exception": f"a\n{text}", "n": 1})
    assert all(clean(value) for value in event.values() if isinstance(value, str))
    assert "\n" in event["exception"]
    queue = QueueFigures(name=f"cap.{text}", ready=1, consumers=0)
    drawn = draw(picture(status(text), queues=(queue,), foreign=((text, text),)), Choice(all_capabilities=True))
    assert all(line.isprintable() for line in drawn)
    assert shown(text) in "\n".join(drawn)
    assert shown(doing(status(text), 2.0)).isprintable()
    letter = read(text, pika.BasicProperties(headers={"bb-reason": text, text: [text]}, type=text), b"{}")
    assert all(each.isprintable() for each in (letter.reason, letter.type, letter.routing_key))


@pytest.mark.parametrize("number", NUMBERS)
def test_no_number_is_an_error(number: float) -> None:
    """As a time, as a duration and in a table."""
    time.localtime(moment(number))
    assert len(duration(number)) < 20
    assert len(duration(-number)) < 20
    assert 0 <= finite(number, most=5) <= 5
    assert sum(map(len, draw(picture(status("a", 20_000, number))))) < 50_000


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_messages_have_finite_numbers(number: str) -> None:
    """JSON of Python's has others, too."""
    whole = json.loads(status("a").model_dump_json())
    body = json.dumps({**whole, "now": "NOW"}).replace('"NOW"', number)
    with pytest.raises(BadMessage):
        decode(body.encode())


def test_a_deep_or_odd_letter_is_shown() -> None:
    """Neither the depth of its JSON nor its headers end the program."""
    for body in (b"[" * 100_000, b'["\\ud800"]', b'{"a": NaN}', b"\xff"):
        letter = read("", pika.BasicProperties(headers={"a": float("nan"), "b": {"c": b"\xff"}}, timestamp=2**62), body)
        assert clean(shown_lines(letter.text()))


def test_what_is_long_is_cut() -> None:
    """At the characters that are shown, escapes counted."""
    assert len(shown("\x1b" * 5000, 100)) == 100
    assert shown("x" * 101, 100).endswith("x…")
    assert shown("é漢", 2) == "é漢"
