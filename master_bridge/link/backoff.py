"""How long to wait before the next try to connect: capped exponential backoff with jitter, by tenacity."""

from __future__ import annotations

from tenacity import RetryCallState, Retrying, wait_random_exponential

#: First tries come fast (a broker that restarts is back within seconds) …
FIRST = 0.5
#: … and no more than this apart, so that a fleet is up soon after a long outage.
CAP = 15.0
#: Never sooner than this, whatever the dice say.
FLOOR = 0.1


class Backoff:
    """`next()` seconds until the next try; `reset()` after a success."""

    def __init__(self) -> None:
        self._wait = wait_random_exponential(multiplier=FIRST, max=CAP)
        self._state = RetryCallState(Retrying(), None, (), {})

    def reset(self) -> None:
        """The next pause is a short one again."""
        self._state.attempt_number = 1

    def next(self) -> float:
        """Seconds to wait before the next try; they grow, with chance in them."""
        delay = max(FLOOR, self._wait(self._state))
        self._state.attempt_number += 1
        return float(delay)
