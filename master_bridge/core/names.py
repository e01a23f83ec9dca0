"""Which names of agents are believed. Pure.

An agent tells its name itself; its account the broker vouches for. A name that is another account's, as `enroll` gives
accounts and agents one name, is shown with the account that bears it.
"""

from __future__ import annotations

from typing import TypeVar

from contracts.messages import Claimant, Message, Status
from contracts.topology import key_word

#: Between a name and an account; so a name that holds it itself is always shown with its account, too.
AT = "@"

Told = TypeVar("Told", bound=Message)


class AgentNames:
    """Knows the accounts that were heard: as many as the broker has, since nobody speaks for one that is not there."""

    def __init__(self) -> None:
        self._accounts: set[str] = set()

    def shown(self, name: str, account: str) -> str:
        """`name`; "name@account" where another account has that name. `account`: a `key_word`, verified."""
        word = key_word(name)
        if word != account and (word in self._accounts or AT in name):
            return f"{name}{AT}{account}"
        return name

    def heard(self, account: str) -> None:
        self._accounts.add(account)

    def told_apart(self, message: Told, account: str) -> Told:
        """`message`, which `account` has sent, with its agent's name as it is shown."""
        self.heard(account)
        name = message.agent if isinstance(message, (Claimant, Status)) else None
        if name is None or (shown := self.shown(name, account)) == name:
            return message
        return message.model_copy(update={"agent": shown})
