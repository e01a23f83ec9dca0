"""How an agent, and what it says of itself, is shown to people: on pages, in properties, logs and operators' tables.

Pure.

An agent tells its name itself; the broker verifies its account only. `enroll` gives both one name, so a name
stands by itself only where it is the account's own. Whatever else an agent calls itself is shown with the account that
bears it, at once and always: nothing depends on which accounts were heard, and in which order.
"""

from __future__ import annotations

import codecs
from typing import TypeVar

from contracts.messages import Capability, Claim, Claimant, Event, Gone, Message, Resume, Status, WorkerInfo
from contracts.readable import shown, shown_lines
from contracts.timing import TEXT_MAX
from contracts.topology import key_word

#: Between a name and an account. A name that holds it itself is always shown with its account, too.
AT = "@"
#: RabbitMQ's first account, its administrator: a fleet without accounts of its own shares it, and agents have their
#: names from nowhere else. Who logs in with it could make and use any other account.
SHARED = "guest"
#: Characters of a name that are shown.
NAME_MAX = 128

#: Of what a worker tells of itself.
_FOR_PEOPLE = ("version", "system", "admin", "host", "access_uri")
#: Encodings of text that are none of a machine's: of names, and of Python's own source.
_NO_ENCODINGS = frozenset({"idna", "punycode", "unicode-escape", "unicode_escape", "raw-unicode-escape", "undefined"})

Told = TypeVar("Told", bound=Message)


def agent_name(name: str, account: str) -> str:
    """ "alice" of account alice; "alice@mallory" of account mallory. `account`: a `key_word`, verified."""
    own = key_word(name) == account
    if own or (account == SHARED and AT not in name):
        return shown(name, NAME_MAX)
    return f"{shown(name, NAME_MAX)}{AT}{account}"


def named(message: Told, account: str) -> Told:
    """`message`, which `account` has sent, with its agent's name and with its texts for people as they are shown."""
    said: dict[str, object] = {}
    if isinstance(message, (Claimant, Status)):
        said["agent"] = agent_name(message.agent, account)
    if isinstance(message, (Claim, Resume)):
        said["worker"] = _worker(message.worker)
        said["capabilities"] = tuple(map(_capability, message.capabilities))
    elif isinstance(message, Gone):
        said["detail"] = shown(message.detail, TEXT_MAX)
    elif isinstance(message, Event) and message.infrastructure is not None:
        said["infrastructure"] = shown(message.infrastructure, TEXT_MAX)
    changed = {name: text for name, text in said.items() if text != getattr(message, name)}
    return message.model_copy(update=changed) if changed else message


def _worker(told: WorkerInfo) -> WorkerInfo:
    """On Buildbot's pages, where some of it has several lines. Folders and variables stay: programs use them."""
    texts = {name: shown_lines(text) for name in _FOR_PEOPLE if (text := getattr(told, name)) is not None}
    facts = {shown(name, NAME_MAX): shown_lines(text) for name, text in told.facts.items()}
    return told.model_copy(update={**texts, "facts": facts, "encoding": text_encoding(told.encoding)})


def text_encoding(name: str) -> str:
    """`name` where it is an encoding of text, else UTF-8: Python has codecs that unpack, or raise for any output."""
    try:
        codec = codecs.lookup(name)
        "a".encode(name)  # refuses what makes bytes of bytes, as zlib and hex do: a codec does not say so otherwise
    except (LookupError, ValueError):
        return "utf-8"
    return "utf-8" if codec.name in _NO_ENCODINGS else name


def _capability(told: Capability) -> Capability:
    version = None if told.version is None else shown(told.version, NAME_MAX)
    return told.model_copy(update={"name": shown(told.name, NAME_MAX), "version": version})
