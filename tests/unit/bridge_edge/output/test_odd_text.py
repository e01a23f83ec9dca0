"""Text that is no UTF-8 at a master: in a command's arguments, in its log."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.python import log as twisted_log

from master_bridge.buildbot.logging import _TwistedLogger
from master_bridge.buildbot.sessions.commands import BadArguments, split_arguments

ODD = "caf\udce9"


@pytest.mark.parametrize(
    "args",
    [{"command": ["echo", ODD]}, {"env": {ODD: "x"}}, {"env": {"X": [ODD]}}, {"command": [("obfuscated", ODD, "x")]}],
    ids=["argument", "variable", "list of a variable", "secret"],
)
def test_an_argument_that_no_message_can_carry_is_named(args: dict[str, Any]) -> None:
    """Never changed on its way: another file would be removed than the one that was meant."""
    with pytest.raises(BadArguments, match=f"argument '{next(iter(args))}' of command 'shell'.* not UTF-8"):
        split_arguments("shell", args)


def test_a_log_line_is_utf_8() -> None:
    """twistd.log could not be written else, and the line would be lost."""
    lines: list[str] = []

    def note(event: Any) -> None:
        lines.append("".join(event["message"]))

    twisted_log.addObserver(note)
    try:
        _TwistedLogger().msg(f"happened file={ODD}")
    finally:
        twisted_log.removeObserver(note)
    assert lines == ["happened file=caf\\udce9"]
