"""What main process and keeper say to each other over the keeper's socket: each message's fields, once for both sides.

`wire` makes bytes of them. Standard library only: the keeper reads this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Said = dict[str, Any]


class Executor(Protocol):
    """What carries the orders about commands out: the keeper's session."""

    def run(self, n: int, name: str, args: Mapping[str, Any], digest: str) -> None: ...
    def complete_unstarted(self, n: int, name: str, digest: str, reason: str) -> None: ...
    def interrupt(self, n: int, reason: str) -> None: ...
    def feed(self, n: int, offset: int, size: int, data: bytes) -> None: ...
    def trim(self, seq: int) -> None: ...


# ---- from the main process to its keeper


def run(n: int, name: str, args: Mapping[str, Any], digest: str) -> Said:
    return {"op": "run", "n": n, "name": name, "args": args, "digest": digest}


def complete_unstarted(n: int, name: str, digest: str, reason: str) -> Said:
    return {"op": "complete_unstarted", "n": n, "name": name, "digest": digest, "reason": reason}


def interrupt(n: int, reason: str) -> Said:
    return {"op": "interrupt", "n": n, "reason": reason}


def feed(n: int, offset: int, size: int) -> Said:
    """The file's bytes from `offset` follow; `size` is the whole file's."""
    return {"op": "feed", "n": n, "offset": offset, "size": size}


def trim(seq: int) -> Said:
    return {"op": "trim", "seq": seq}


def carry_out(message: Mapping[str, Any], data: bytes, executor: Executor) -> bool:
    """Do what an order about commands says; False: it is no such order. Raises KeyError for one that is not whole."""
    op = message.get("op")
    if op == "run":
        executor.run(message["n"], message["name"], message["args"], message["digest"])
    elif op == "complete_unstarted":
        executor.complete_unstarted(message["n"], message["name"], message["digest"], message["reason"])
    elif op == "interrupt":
        executor.interrupt(message["n"], message["reason"])
    elif op == "feed":
        executor.feed(message["n"], message["offset"], message["size"], data)
    elif op == "trim":
        executor.trim(message["seq"])
    else:
        return False
    return True


# ---- from the keeper to its main process


def journalled(seq: int) -> Said:
    return {"ev": "journalled", "seq": seq}


def pull(n: int, offset: int, length: int) -> Said:
    return {"ev": "pull", "n": n, "offset": offset, "length": length}


def broken(reason: str) -> Said:
    return {"ev": "broken", "reason": reason}
