"""The forms in which a secret may stand in what an agent or the bridge writes. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from urllib.parse import quote, quote_plus

#: A shorter text is not looked for in a form that is less than the secret: it would be found everywhere.
SHORTEST = 4
#: Sets of secrets whose forms are remembered: some for each build that runs.
REMEMBERED = 64
_REFERENCE = re.compile(r"\${[0-9a-zA-Z_]*}")


def written(secrets: Mapping[str, str], encoding: str = "utf-8") -> Mapping[str, str]:
    """Each form of each secret, the longest first, as Buildbot replaces them: form -> what stands for it.

    `encoding`: in which the agent encodes arguments.
    """
    return _written(tuple(secrets.items()), encoding) if secrets else {}


@lru_cache(maxsize=REMEMBERED)
def _written(secrets: tuple[tuple[str, str], ...], encoding: str) -> Mapping[str, str]:
    found = {form: name for secret, name in secrets for form in forms(secret, encoding)}
    found |= dict(secrets)
    return {form: found[form] for form in sorted(found, key=len, reverse=True) if form}


def forms(secret: str, encoding: str = "utf-8") -> set[str]:
    """`secret` as it is, as terminals and environments show it, and quoted for Python, JSON, a shell and a URL.

    Twice, since quoted text is quoted again: a shell's word in a list of arguments.
    """
    plain = set(_shown(secret))
    once = {form for text in plain for form in _quoted(text, encoding)}
    twice = {form for text in once for form in _quoted(text, encoding)}
    return plain | once | twice | {form for text in plain for form in _in_url(text)}


def _shown(secret: str) -> Iterator[str]:
    yield secret
    if "\n" in secret.strip("\n"):
        yield secret.replace("\n", "\r\n")  # a terminal writes each line end so
        yield secret.replace("\r\n", "\n")
    less = (secret.strip(), _REFERENCE.sub("", secret))  # as a command uses it; as `env` replaces what is not set
    yield from (text for text in less if len(text) >= SHORTEST)


def _quoted(text: str, encoding: str) -> Iterator[str]:
    """Without the quotes around it: it may be a part of what is quoted."""
    yield from _in_python(text, lambda part: repr(f'"{part}')[2:-1])
    yield from _in_python(text, lambda part: ascii(f'"{part}')[2:-1])
    for codec in {"utf-8", "latin-1", encoding}:
        with suppress(UnicodeEncodeError, LookupError):  # then no agent writes it so
            yield from _in_python(text, partial(_in_bytes, codec))
    yield json.dumps(text, ensure_ascii=True)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield shlex.quote(f" {text}")[2:-1]
    yield text.encode("utf-8", "replace").decode()  # a header's text


def _in_python(text: str, escaped: Callable[[str], str]) -> Iterator[str]:
    """A single quote is escaped if there is a double one, too, anywhere in what is quoted: `escaped` adds one."""
    yield escaped(text)
    yield "'".join(escaped(part) for part in text.split("'"))


def _in_bytes(codec: str, text: str) -> str:
    return repr(f'"{text}'.encode(codec))[3:-1]


def _in_url(text: str) -> Iterator[str]:
    with suppress(UnicodeEncodeError):  # a lone surrogate is in no URL
        yield quote(text, safe="")
        yield quote(text)
        yield quote_plus(text)
