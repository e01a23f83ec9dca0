"""What goes with a message that is put into `bb.dead`: its own bytes, and the headers that we know. Pure.

Headers are a stranger's: copied as they are, with ours beside them, they may be larger than a frame, and the broker
cuts the connection of whoever publishes that (seen on 3.10.8: one such message a second kept a master off its broker).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts import topology
from contracts.codec import HEADER
from contracts.readable import is_readable, readable
from contracts.timing import HEADER_MAX
from contracts.trust.signing import KEY_HEADER, SIGNATURE_HEADER, STAMP_HEADER

#: Characters of a reason or a name in a header.
REASON_MAX = 500
#: Bytes of the headers that are copied, all together: none of ours has more, and they must fit into one frame beside
#: what is said here.
COPIED_MAX = HEADER_MAX
#: A header of `bb.dead` that names those which were left out.
LEFT_OUT_HEADER = "bb-left-out"
_COPIED = (HEADER, KEY_HEADER, STAMP_HEADER, SIGNATURE_HEADER)


def headers_of(
    original: Mapping[str, Any], *, reason: str, queue: str, agent: str | None = None, priority: int | None = None
) -> dict[str, Any]:
    """The headers of a message in `bb.dead`: those needed to read and to check it, why it is there, and who put it.

    `priority`: the AMQP property, which is not the broker's to keep here.
    """
    found, left_out = copied(original)
    if left_out:
        found[LEFT_OUT_HEADER] = ", ".join(left_out)
    found[topology.DEAD_REASON_HEADER] = _shown(reason)
    found[topology.DEAD_QUEUE_HEADER] = _shown(queue)
    if agent is not None:
        found[topology.DEAD_AGENT_HEADER] = _shown(agent)
    if priority is not None:
        found[topology.DEAD_PRIORITY_HEADER] = priority
    return found


def copied(original: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The headers of `original` that go wherever it goes, and the names of those that cannot."""
    found: dict[str, Any] = {}
    left = COPIED_MAX
    left_out: list[str] = []
    for name in _COPIED:
        value = original.get(name)
        if value is None:
            continue
        text = _text(value)
        size = 0 if text is None else len(text.encode())
        if text is None or size > left:
            left_out.append(name)
        else:
            found[name] = text
            left -= size
    return found, left_out


def _text(value: object) -> str | None:
    """None for what is no text that UTF-8 can carry: no header of ours is like that, and pamqp cannot write bytes."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) and is_readable(value) else None


def _shown(text: str) -> str:
    return readable(text[:REASON_MAX])
