"""A total order over every text that can be a version: 3.11.2, 1.1.1w, 2.3-rc1, 2024-01-15, 8GiB, bookworm.

PEP 440 versions are read by `packaging`; the rule for all others is in docs/requirements.md, "How versions compare".
There is one key for all texts, so that the order stays transitive where the two kinds meet. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from packaging.version import InvalidVersion, Version

#: (is a number, the number, the text): numbers sort after words, as PEP 440 sorts local labels.
Token = tuple[bool, int, str]
#: (kind, epoch or bytes, release, pre, post, dev): kinds are word < version < size.
Key = tuple[int, int, tuple[int, ...], tuple[int, int, tuple[Token, ...]], tuple[int, int, tuple[Token, ...]], int]

WORD, VERSION, SIZE = 0, 1, 2

#: Place of a pre-release among those of one release; anything unstable without a place of its own comes first.
_UNSTABLE, _ALPHA, _BETA, _CANDIDATE, _NONE = range(5)
_STAGES = {
    **dict.fromkeys(("dev", "devel", "git", "nightly", "snapshot", "unstable", "trunk", "canary"), _UNSTABLE),
    **dict.fromkeys(("a", "alpha"), _ALPHA),
    **dict.fromkeys(("b", "beta", "m", "milestone"), _BETA),
    **dict.fromkeys(("c", "rc", "cr", "pre", "preview"), _CANDIDATE),
}
#: `post` slot: nothing < a patch letter or vendor suffix (1.1.1w, 9.2p1) < a PEP 440 post-release.
_PLAIN, _SUFFIX, _POST = range(3)
_NO_DEV = 2**62

#: A lone unit must be a capital: 2024e is a time zone release, 8G is a size.
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(?:([KMGTkmgt])([Ii]?)([Bb])|([KMGTkmgt])[Ii]|([KMGT]))")
_UNITS = "kmgt"
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?")
_LETTER = re.compile(r"[0-9]+(?:\.[0-9]+)*[a-z]")
_EPOCH = re.compile(r"([0-9]+)[:!](?=[0-9])")
_RELEASE = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_TOKEN = re.compile(r"[0-9]+|[a-z]+|[^\W0-9a-z_]+")


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A version text, read. `release` keeps its zeros; `label` is what follows `+` (PEP 440's local label)."""

    key: Key
    release: tuple[int, ...]
    label: tuple[Token, ...]

    @property
    def kind(self) -> int:
        """A word, a version or a size, which are in this order."""
        return self.key[0]


def _tokens(text: str) -> tuple[Token, ...]:
    return tuple(
        (True, int(part), "") if part.isascii() and part.isdigit() else (False, 0, part)
        for part in _TOKEN.findall(text)
    )


def _stripped(release: tuple[int, ...]) -> tuple[int, ...]:
    end = len(release)
    while end > 1 and release[end - 1] == 0:
        end -= 1
    return release[:end]


def _size(text: str) -> int | None:
    """Bytes of `8GiB`, `512 MB`, `16G` and `16Gi` (binary, as memory is counted); None for what is no size."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    number, unit, binary, byte, short, capital = match.groups()
    base: int = 1000 if byte and not binary else 1024
    whole, _, fraction = number.partition(".")
    scale: int = base ** (_UNITS.index((unit or short or capital).lower()) + 1)
    return int(whole) * scale + (int(fraction) * scale // 10 ** len(fraction) if fraction else 0)


def _pep440(version: Version) -> Parsed:
    if version.pre is not None:
        pre = ({"a": _ALPHA, "b": _BETA, "rc": _CANDIDATE}[version.pre[0]], version.pre[1], ())
    elif version.dev is not None and version.post is None:
        pre = (_UNSTABLE, 0, ())
    else:
        pre = (_NONE, 0, ())
    post = (_PLAIN, 0, ()) if version.post is None else (_POST, version.post, ())
    dev = _NO_DEV if version.dev is None else version.dev
    key: Key = (VERSION, version.epoch, _stripped(version.release), pre, post, dev)
    return Parsed(key=key, release=version.release, label=_tokens((version.local or "").lower()))


def _numeric(epoch: int, release: tuple[int, ...], rest: str) -> Parsed:
    """A version that begins with numbers and goes on in its own way."""
    rest, _, label = rest.partition("+")
    tokens = _tokens(rest)
    pre: tuple[int, int, tuple[Token, ...]] = (_NONE, 0, ())
    post: tuple[int, int, tuple[Token, ...]] = (_PLAIN, 0, ())
    bare_letter = len(tokens) == 1 and len(rest) == 1
    if tokens and tokens[0][2] in _STAGES and not bare_letter:
        number = tokens[1][1] if len(tokens) > 1 else 0
        pre = (_STAGES[tokens[0][2]], number, tokens[1:])
    elif tokens:
        post = (_SUFFIX, 0, tokens)
    return Parsed(
        key=(VERSION, epoch, _stripped(release), pre, post, _NO_DEV),
        release=release,
        label=_tokens(label),
    )


@lru_cache(maxsize=4096)
def parse_version(text: str) -> Parsed:
    """Read any text as a version; never fails."""
    size = _size(text.strip())
    if size is not None:
        return Parsed(key=(SIZE, size, (), (_NONE, 0, ()), (_PLAIN, 0, ()), _NO_DEV), release=(), label=())
    text = text.strip().lower()
    if len(text) > 1 and text[0] == "v" and text[1] in "0123456789":
        text = text[1:]
    if date := _DATE.fullmatch(text):
        return _numeric(0, tuple(int(part) for part in date.groups() if part), "")
    if not _LETTER.fullmatch(text):  # PEP 440 takes 1.1.1a for an alpha; every tool that counts so means a patch
        try:
            return _pep440(Version(text))
        except InvalidVersion:
            pass  # not an error: the rule below is for these
    epoch = 0
    if match := _EPOCH.match(text):
        epoch, text = int(match[1]), text[match.end() :]
    if match := _RELEASE.match(text):
        return _numeric(epoch, tuple(int(part) for part in match[0].split(".")), text[match.end() :])
    tokens = _tokens(text)
    return Parsed(key=(WORD, 0, (), (_NONE, 0, ()), (_SUFFIX, 0, tokens), _NO_DEV), release=(), label=())


def sort_key(text: str) -> tuple[Key, tuple[Token, ...]]:
    """Key of the total order over version texts. Equal keys: the same version, spelled differently (`1.0`, `1.0.0`)."""
    parsed = parse_version(text)
    return parsed.key, parsed.label


def compare(version: str, wanted: str) -> int:
    """-1, 0 or 1: `version` is older than, the same as, newer than `wanted`.

    A label after `+` in `version` counts only when `wanted` has one (PEP 440, "Version matching"): 2.5.1+cu121 is
    a 2.5.1.
    """
    left, right = parse_version(version), parse_version(wanted)
    if right.label:
        a, b = (left.key, left.label), (right.key, right.label)
        return (a > b) - (a < b)
    return (left.key > right.key) - (left.key < right.key)


def in_series(version: str, series: str) -> bool:
    """Whether `version` is of `series`, as PEP 440's `==2.3.*`: 2.3, 2.3.7 and 2.3-rc1 are of 2.3; 2.30 is not."""
    left, right = parse_version(version), parse_version(series)
    if left.kind != VERSION or right.kind != VERSION or left.key[1] != right.key[1]:
        return False
    count = len(right.release)
    return (left.release + (0,) * count)[:count] == right.release


def compatible_series(version: str) -> str | None:
    """The series that `~=version` stays in (PEP 440): `3.9` stays in 3, `1.1.1w` in 1.1."""
    release = parse_version(version).release
    return ".".join(str(part) for part in release[:-1]) or None


def series_of(version: str, depth: int) -> str | None:
    """The series of `version` with `depth` numbers: `series_of("3.11.2", 2)` is `3.11`; None when it has none."""
    parsed = parse_version(version)
    if parsed.kind != VERSION or parsed.key[1] != 0 or len(parsed.release) < depth:
        return None
    return ".".join(str(part) for part in parsed.release[:depth])


def spelled(text: str) -> str:
    """The one way to write a version in a signature: lower case, but for a size's unit."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return text.lower()
    number, unit, binary, _byte, short, capital = match.groups()
    return f"{number}{(unit or short or capital).upper()}{'B' if unit and not binary else 'iB'}"
