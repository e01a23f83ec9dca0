"""How an agent is named to people: on pages, in properties, logs and operators' tables. Pure.

An agent tells its name itself; the broker vouches for its account alone. `enroll` gives both one name, so a name
stands by itself only where it is the account's own. Whatever else an agent calls itself is shown with the account that
bears it, at once and always: nothing depends on which accounts were heard, and in which order.
"""

from __future__ import annotations

from typing import TypeVar

from contracts.messages import Claimant, Message, Status
from contracts.readable import shown
from contracts.topology import key_word

#: Between a name and an account. A name that holds it itself is always shown with its account, too.
AT = "@"
#: RabbitMQ's first account, its administrator: a fleet without accounts of its own shares it, and agents have their
#: names from nowhere else. Who logs in with it could make and use any other account.
SHARED = "guest"
#: Characters of a name that are shown.
NAME_MAX = 128

Told = TypeVar("Told", bound=Message)


def agent_name(name: str, account: str) -> str:
    """ "alice" of account alice; "alice@mallory" of account mallory. `account`: a `key_word`, verified."""
    own = key_word(name) == account
    if own or (account == SHARED and AT not in name):
        return shown(name, NAME_MAX)
    return f"{shown(name, NAME_MAX)}{AT}{account}"


def named(message: Told, account: str) -> Told:
    """`message`, which `account` has sent, with its agent's name as it is shown."""
    told = message.agent if isinstance(message, (Claimant, Status)) else None
    if told is None or (name := agent_name(told, account)) == told:
        return message
    return message.model_copy(update={"agent": name})
