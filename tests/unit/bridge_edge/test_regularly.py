"""What a master does regularly goes on, whatever comes of it."""

from __future__ import annotations

from typing import Any

from structlog.testing import capture_logs
from twisted.internet import defer
from twisted.internet.task import Clock

from master_bridge.buildbot.regularly import regularly


def test_errors_do_not_end_it_and_each_is_said_once() -> None:
    """Raised or of a Deferred: the next time comes, and only another error is said again, or one after a success."""
    clock = Clock()
    answers: list[Any] = [
        OSError("full"), OSError("full"), defer.fail(OSError("full")), KeyError("other"), None, KeyError("other"), None
    ]  # fmt: skip
    times = 0

    def work() -> Any:
        nonlocal times
        answer = answers[times]
        times += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    with capture_logs() as lines:
        timer = regularly(clock, 2.0, "part", work)
        assert times == 0
        clock.pump([2.0] * len(answers))
    assert times == len(answers)
    assert [line["reason"].splitlines()[-1] for line in lines] == [
        "builtins.OSError: full", "builtins.KeyError: 'other'", "builtins.KeyError: 'other'"
    ]  # fmt: skip
    timer.stop()
    clock.pump([2.0, 2.0])
    assert times == len(answers)


def test_work_that_takes_long_is_waited_for() -> None:
    """It is not begun again before it is done."""
    clock = Clock()
    under_way: list[defer.Deferred[None]] = []

    def work() -> defer.Deferred[None]:
        under_way.append(defer.Deferred())
        return under_way[-1]

    timer = regularly(clock, 1.0, "part", work)
    clock.pump([1.0] * 5)
    assert len(under_way) == 1
    under_way[0].callback(None)
    clock.pump([1.0])
    assert len(under_way) == 2
    timer.stop()
