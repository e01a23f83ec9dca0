"""Why the broker refused a declaration: its reply code and text, turned into what is wrong and what to do. Pure.

406 (precondition failed) has two meanings. "inequivalent arg": it is there, otherwise than we ask. "invalid arg": this
broker does not take what we ask, so it is not there. Texts of 3.10.8, 4.0.5 and 4.3.6 (`test_refusals.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from contracts.rabbitmq.arguments import QueueType

ACCESS_REFUSED = 403
NOT_FOUND = 404
RESOURCE_LOCKED = 405
PRECONDITION_FAILED = 406

What = Literal["queue", "exchange"]


@dataclass(frozen=True, kw_only=True)
class Differs:
    """The queue or exchange is there with another value of `argument` than ours. `str` is a sentence for people."""

    what: What
    name: str
    argument: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        argument = "type" if self.argument == "x-queue-type" else self.argument
        seen = f"{self.what} {self.name} exists with another {argument}: we ask for {self.ours}, it has {self.theirs}"
        if self.what == "exchange":
            return (
                f"{seen}. What is published there would not arrive: delete the exchange (it is made anew within a "
                "minute), or use a vhost of its own for Buildbot"
            )
        if not self.usable:
            return f"{seen}. It cannot carry our work: delete the queue (it is made anew within a minute)"
        return (
            f"{seen}. It is used as it is; to change it, drain it and run `master-bridge migrate`, or set the bridge "
            "up as the broker is"
        )

    @property
    def usable(self) -> bool:
        """It can be used as it is. An exchange cannot, nor a queue of a type that gives nothing back (a stream)."""
        return self.what == "queue" and (self.argument != "x-queue-type" or self.theirs in get_args(QueueType))


@dataclass(frozen=True, kw_only=True)
class NotTaken:
    """This broker takes no such argument, or not with that value: the queue or exchange was not made."""

    what: str
    name: str
    argument: str
    detail: str

    def __str__(self) -> str:
        return (
            f"this broker does not take {self.argument} for {self.what} {self.name}{self.detail}, so the {self.what} "
            "was not made: its version is not one that this program was tested with (run `doctor`), or a plugin of "
            "the broker forbids it; upgrade this program, or use RabbitMQ 3.10 to 4.3"
        )


@dataclass(frozen=True, kw_only=True)
class Locked:
    """The queue is another connection's own."""

    name: str

    def __str__(self) -> str:
        return (
            f"queue {self.name} is there as another program's own (exclusive): end that program, or use a vhost of its "
            "own for Buildbot"
        )


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """None of the meanings above."""

    text: str

    def __str__(self) -> str:
        return f"the broker refuses: {self.text}"


Refusal = Differs | NotTaken | Locked | Unknown

_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<what>queue|exchange) '(?P<name>[^']+)'.*?: "
    r"received (?P<ours>.+?) but current is (?P<theirs>.+)$",
    re.DOTALL,
)
_INVALID = re.compile(
    r"invalid (?:arg|property) '(?P<argument>[^']+)' for (?P<what>queue|exchange) '(?P<name>[^']+)' in vhost '[^']*'"
    r"(?P<detail>.*)$",
    re.DOTALL,
)
_LOCKED = re.compile(r"locked queue '(?P<name>[^']+)'")


def refusal(code: int, text: str) -> Refusal:
    """What a broker that closed the channel with this reply code and text has against a declaration."""
    if code == RESOURCE_LOCKED and (found := _LOCKED.search(text)):
        return Locked(name=found["name"])
    if code == PRECONDITION_FAILED and (found := _INEQUIVALENT.search(text)):
        return Differs(
            what="queue" if found["what"] == "queue" else "exchange",
            name=found["name"],
            argument=found["argument"],
            ours=_value(found["ours"]),
            theirs=_value(found["theirs"]),
        )
    if code == PRECONDITION_FAILED and (found := _INVALID.search(text)):
        detail = found["detail"].strip(" :")
        return NotTaken(
            what=found["what"], name=found["name"], argument=found["argument"], detail=f" ({detail})" if detail else ""
        )
    return Unknown(text=f"{code} {text}")


def _value(text: str) -> str:
    quoted = re.search(r"the value '([^']*)'", text)
    if quoted:
        return quoted.group(1)
    return "none" if text.strip().startswith("none") else text.strip().strip("'")
