"""Messages that nobody should send: raw bytes, broken JSON, mutated and forged messages of the protocol, by seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from contracts.codec import HEADER, decode
from contracts.errors import BadMessage, UnknownVersion
from contracts.messages import VERSION

_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2**53,
    2**70,
    1.5,
    "",
    "x",
    "a b",
    "\u0000",
    "é" * 300,
    [],
    {},
    [[[]]],
)
_IDS = ("s-1", "forged", "x" * 64)
_CLAIMANT = {
    "session": "s-1", "offer": "o-1", "request": "br-999999", "master": "m1", "run": 1, "instance": "i-1", "agent": "a",
    "epoch": 1, "address": "agent.guest.i-1.n",
}  # fmt: skip
_WORKER = {"version": "1", "basedir": "/b"}
_COMMAND = {"n": 1, "name": "shell", "args": {"command": "touch /forged", "workdir": "build"}, "digest": "d"}
_HOLDER = {"session": "s-1", "incarnation": "i", "stored": 5}
#: One valid message of each type; what is sent is made of them.
VALID: dict[str, dict[str, Any]] = {
    "offer": {
        "offer": "o-1", "request": "br-999999", "master": "nobody", "run": 1, "signature": "other", "kind": "build",
        "published": 0.0, "builddir": "b",
    },
    "claim": {**_CLAIMANT, "worker": _WORKER},
    "resume": {**_CLAIMANT, "worker": _WORKER},
    "accept": {**_CLAIMANT, "incarnation": "i"},
    "gone": {k: _CLAIMANT[k] for k in ("session", "request", "master", "epoch", "address")} | {"reason": "lost"},
    "grant": {"session": "s-1", "master": "m1", "incarnation": "i", "run": 1, "stored": 0},
    "refuse": {"session": "s-1", "master": "m1", "re": "claim", "reason": "r"},
    "later": {"session": "s-1", "master": "m1", "request": "br-1"},
    "hold": {"session": "s-1", "master": "m1", "request": "br-1"},
    "start": {"session": "s-1", "incarnation": "i", "command": _COMMAND},
    "interrupt": {"session": "s-1", "incarnation": "i", "n": 1, "reason": "r"},
    "ping": _HOLDER, "stored": _HOLDER, "replay": _HOLDER, "release": {"session": "s-1", "incarnation": "i"},
    "event": {"session": "s-1", "seq": 1, "n": 1, "kind": "stdout"},
    "pull": {"session": "s-1", "n": 1, "offset": 0, "length": 10},
    "data": {"session": "s-1", "incarnation": "i", "n": 1, "offset": 0, "size": 10},
    "marker": {"incarnation": "i", "k": 1},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Nonsense:
    """A body and headers. `readable`: the codec takes it for a message (forged, then); `newer`: of another version."""

    body: bytes
    headers: dict[str, Any] = field(default_factory=dict)
    readable: bool = False
    newer: bool = False


def nonsense(seed: int, count: int, types: tuple[str, ...]) -> Iterator[Nonsense]:
    """`count` of them, made of valid messages of these types, or of nothing valid at all."""
    chance = random.Random(seed)
    for _ in range(count):
        body, headers = _one(chance, types)
        error = _error(body, headers)
        yield Nonsense(body=body, headers=headers, readable=error is None, newer=isinstance(error, UnknownVersion))


def _one(chance: random.Random, types: tuple[str, ...]) -> tuple[bytes, dict[str, Any]]:
    kind = chance.randrange(8)
    if kind == 0:
        return chance.randbytes(chance.randrange(200)), {}
    if kind == 1:
        return json.dumps(chance.choice(_VALUES)).encode(), {}
    if kind == 2:
        return b"[" * chance.choice((10, 5000)) + b"]" * chance.randrange(10), {}
    name = chance.choice(types)
    message = {"t": name, "v": VERSION, **VALID[name]}
    if kind == 3:  # as it is, forged: another's session, another's name
        message["session"] = chance.choice(_IDS)
    elif kind == 4:
        message["v"] = chance.choice((0, -1, 2**31, "1", None))
    elif kind == 5:
        del message[chance.choice(list(message))]
    else:
        message[chance.choice(list(message))] = chance.choice(_VALUES)
    text = json.dumps(message).encode()
    if kind == 6:
        return chance.randbytes(50), {HEADER: text.decode()}
    if kind == 7:
        return text, {HEADER: chance.choice((1, True, "", "{", ["x"]))}
    return text, {}


def _error(body: bytes, headers: dict[str, Any]) -> BadMessage | None:
    try:
        decode(body, headers)
    except BadMessage as error:
        return error
    return None
