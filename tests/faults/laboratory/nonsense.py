"""Messages that nobody should send, by Hypothesis: raw bytes, any JSON, what the schemas allow, forged or broken."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import contracts
from contracts.codec import HEADER, decode
from contracts.errors import BadMessage, UnknownVersion
from contracts.messages import VERSION
from tests.faults.laboratory.from_schema import ANY_JSON, values

#: Types of messages by who reads them.
TO_BRIDGE = ("claim", "resume", "accept", "gone", "event", "pull", "marker")
TO_AGENT = (
    "grant", "refuse", "later", "hold", "start", "interrupt", "ping", "stored", "replay", "release", "data",
    "rollcall", "alive",
)  # fmt: skip
#: … and what is for the fleet.
FROM_AGENTS = ("status",)
FROM_MASTERS = ("catalogue",)
#: Examples of one Hypothesis run: it remembers all of a run, so long ones get slow.
_BATCH = 200
_SCHEMAS = Path(contracts.__file__).parent / "schemas"
#: What parsers stumble over.
_DEEP = (b"[" * 5000, b"[" * 100_000, b'{"a":' * 2000, b"\xff\xfe", b"1" * 5000)

#: Names that there are, by field: whoever forges a message uses them.
Known = Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Nonsense:
    """A body and headers. `readable`: the codec takes it for a message (forged, then); `foreign`: the fields of one of
    another version."""

    body: bytes
    headers: dict[str, Any] = field(default_factory=dict)
    readable: bool = False
    foreign: Mapping[str, Any] | None = None


def nonsense(first: int, count: int, types: Sequence[str], known: Known | None = None) -> Iterator[Nonsense]:
    """`count` of them; the same ones for the same `first`. Forged ones name what is in `known`.

    Hypothesis draws; each message that it draws is sent in several broken forms beside its own.
    """
    chance = random.Random(first)
    drawn = _draw(_strategy(types), first)
    made: list[tuple[bytes, dict[str, Any]]] = []
    for _ in range(count):
        if not made:
            made = _forms(next(drawn), chance, known or {})
        body, headers = made.pop()
        error = _error(body, headers)
        foreign = error.fields if isinstance(error, UnknownVersion) else None
        yield Nonsense(body=body, headers=headers, readable=error is None, foreign=foreign)


def _strategy(types: Sequence[str]) -> st.SearchStrategy[Any]:
    """Bytes, or (a message that its schema allows, any JSON value, any header's value)."""
    read = [json.loads((_SCHEMAS / f"{name}.json").read_text(encoding="utf-8")) for name in types]
    valid = st.one_of([values(schema) for schema in read])
    header = st.one_of(st.booleans(), st.integers(-(2**31), 2**31 - 1), st.lists(st.text(max_size=5), max_size=3))
    parts = st.tuples(valid, ANY_JSON, header)
    return st.one_of(st.binary(max_size=200), parts, parts, parts, parts)


def _draw(strategy: st.SearchStrategy[Any], first: int) -> Iterator[Any]:
    """Hypothesis as a generator, without end."""
    for batch in itertools.count():
        yield from _batch(strategy, f"{first}/{batch}")


def _batch(strategy: st.SearchStrategy[Any], which: str) -> list[Any]:
    found: list[Any] = []

    @seed(which)
    @settings(
        max_examples=_BATCH,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


def _forms(drawn: Any, chance: random.Random, known: Known) -> list[tuple[bytes, dict[str, Any]]]:
    """(body, headers) each."""
    if isinstance(drawn, bytes):
        return [(drawn, {}), (chance.choice(_DEEP), {})] if chance.random() < 0.1 else [(drawn, {})]
    message, value, header = drawn
    message = {**message, "v": VERSION}
    message.pop("upto", None)
    names = sorted(message)
    forged = message | {name: chance.choice(known[name]) for name in names if known.get(name)}
    gone, changed = chance.choice(names), chance.choice(names)
    bodies = [
        message,
        forged,
        {**forged, "v": chance.choice((0, -1, 2, 99, 2**31, 2**70, "1", None, value))},
        {name: it for name, it in forged.items() if name != gone},
        {**forged, changed: value},
        value,
    ]
    texts = [json.dumps(body) for body in bodies]
    forms: list[tuple[bytes, dict[str, Any]]] = [(text.encode(), {}) for text in texts]
    forms.append((chance.randbytes(50), {HEADER: chance.choice(texts)}))
    forms.append((chance.choice(texts).encode(), {HEADER: header}))
    forms.append((texts[1].encode()[: chance.randrange(len(texts[1]))], {}))
    chance.shuffle(forms)
    return forms


def _error(body: bytes, headers: dict[str, Any]) -> BadMessage | None:
    try:
        decode(body, headers)
    except BadMessage as error:
        return error
    return None
