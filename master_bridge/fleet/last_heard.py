"""Who was heard longest ago, of all and of an account, without a look at all of them: a full table asks often."""

from __future__ import annotations

#: Account and instance.
Key = tuple[str, str]
#: Seconds for which an account that had the most agents is taken to have them still.
_LARGEST_FOR = 1.0


class LastHeard:
    """Keys in the order in which they were heard. Times are the caller's seconds."""

    def __init__(self) -> None:
        # the one heard longest ago comes first
        self._all: dict[Key, None] = {}
        self._accounts: dict[str, dict[Key, None]] = {}
        self._largest, self._largest_at = "", 0.0

    def heard(self, key: Key) -> None:
        """Just now."""
        for keys in (self._all, self._accounts.setdefault(key[0], {})):
            keys.pop(key, None)
            keys[key] = None

    def drop(self, key: Key) -> None:
        """It is not kept any more."""
        del self._all[key]
        keys = self._accounts[key[0]]
        del keys[key]
        if not keys:
            del self._accounts[key[0]]

    def count(self, account: str) -> int:
        """How many are of it."""
        return len(self._accounts.get(account, ()))

    def first(self, account: str | None = None) -> Key:
        """The one of them that was heard longest ago; there is one."""
        return next(iter(self._all if account is None else self._accounts[account]))

    def largest(self, now: float) -> str:
        """The account with most of them, as it was at most a second ago."""
        if self._largest not in self._accounts or not 0 <= now - self._largest_at < _LARGEST_FOR:
            self._largest = max(self._accounts, key=lambda account: len(self._accounts[account]))
            self._largest_at = now
        return self._largest
