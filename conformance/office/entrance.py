"""Where agents come to the kit's post office: one class a wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from contracts.frames.codec import Packed

#: The account that an agent is to log in as.
ACCOUNT = "conformance"
_NOTHING = Packed(b"")


class AgentLine(Protocol):
    """One connection of an agent."""

    def send(self, packed: Packed) -> None:
        """Raises OSError: it is gone."""

    def close(self) -> None:
        """Nothing of it is read any more. Its other end hears so, where the wire can tell it."""


@dataclass(frozen=True)
class Came:
    """What has happened to a line: it is there, it has brought a frame, it is gone, or what came is no frame."""

    line: AgentLine
    what: Literal["opened", "frame", "gone", "nonsense"]
    packed: Packed = _NOTHING
    problem: str = ""


class Entrance(Protocol):
    """From when it is made to `close`."""

    #: what the agent's COMMAND is given: a URL, or a program whose standard input and output are a line
    url: str
    #: for the report
    product: str

    def wait(self, seconds: float) -> list[Came]:
        """What happened first, within so many seconds; nothing else has happened."""

    def cut(self) -> None:
        """All lines end as with a network that is gone: nothing is said, and what is under way is lost."""

    def close(self) -> None:
        """Nobody is met any more."""
