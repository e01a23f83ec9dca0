"""What main process and keeper say to each other over the keeper's socket: each message's fields, once for both sides.

`wire` makes bytes of them. Whoever reads one believes none of its fields: the other end may be of another version, and
a socket may be somebody else's. Standard library and psutil only: the keeper reads this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from worker_agent.keeper.giving_back import Program

Said = dict[str, Any]

#: The largest number that a message may name: JSON's own, in every language.
NUMBER_MAX = 2**53 - 1


class BadOrder(Exception):
    """A message over the keeper's socket lacks a field, or has one that cannot be."""


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


def close(*, again: bool) -> Said:
    """End the session. `again`: take another one after it, if nothing of this one is left."""
    return {"op": "close", "again": again}


def let_go(copy: str) -> Said:
    """Of that copy of the main process's connection to its master (`link_copy`)."""
    return {"op": "let_go", "copy": copy}


def give_back(program: Program) -> Said:
    """What is to start where this main process is killed."""
    return {"op": "give_back", **asdict(program)}


def program(message: Mapping[str, Any]) -> Program:
    """Of `give_back`. Raises `BadOrder`."""
    environment = message.get("environment")
    if not isinstance(environment, dict):
        raise BadOrder(f"environment is {type(environment).__name__}, not an object")
    return Program(
        command=texts(message, "command"),
        environment={name: text(environment, name) for name in environment},
        folder=text(message, "folder"),
    )


def carry_out(message: Mapping[str, Any], data: bytes, executor: Executor) -> bool:
    """Do what an order about commands says; False: it is no such order. Raises `BadOrder`; then nothing was done."""
    op = message.get("op")
    if op == "run":
        n, name, digest = number(message, "n"), text(message, "name"), text(message, "digest")
        args = message.get("args")
        if not isinstance(args, dict):
            raise BadOrder(f"args of command {n} is {type(args).__name__}, not an object")
        executor.run(n, name, args, digest)
    elif op == "complete_unstarted":
        executor.complete_unstarted(
            number(message, "n"), text(message, "name"), text(message, "digest"), text(message, "reason")
        )
    elif op == "interrupt":
        executor.interrupt(number(message, "n"), text(message, "reason"))
    elif op == "feed":
        executor.feed(number(message, "n"), number(message, "offset"), number(message, "size"), data)
    elif op == "trim":
        executor.trim(number(message, "seq"))
    else:
        return False
    return True


def number(message: Mapping[str, Any], name: str) -> int:
    """A whole number from 0 to `NUMBER_MAX`. Raises `BadOrder`."""
    value = message.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= NUMBER_MAX:
        return value
    raise BadOrder(f"{name} is no whole number from 0 to {NUMBER_MAX}")


def seconds(message: Mapping[str, Any], name: str) -> float | None:
    """None where it is not said. Raises `BadOrder`."""
    value = message.get(name)
    if value is None or (isinstance(value, (int, float)) and 0 <= value <= NUMBER_MAX):
        return value
    raise BadOrder(f"{name} is no number of seconds")


def text(message: Mapping[str, Any], name: str) -> str:
    """Raises `BadOrder`."""
    value = message.get(name)
    if isinstance(value, str):
        return value
    raise BadOrder(f"{name} is {type(value).__name__}, not text")


def numbers(message: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """Raises `BadOrder`."""
    return tuple(number({name: each}, name) for each in _many(message, name))


def texts(message: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Raises `BadOrder`."""
    return tuple(text({name: each}, name) for each in _many(message, name))


def _many(message: Mapping[str, Any], name: str) -> list[Any]:
    value = message.get(name, [])
    if isinstance(value, list):
        return value
    raise BadOrder(f"{name} is {type(value).__name__}, not a list")


# ---- from the keeper to its main process


def journalled(seq: int) -> Said:
    return {"ev": "journalled", "seq": seq}


def pull(n: int, offset: int, length: int) -> Said:
    return {"ev": "pull", "n": n, "offset": offset, "length": length}


def forked(pid: int) -> Said:
    """The first that a keeper says, before it has a session."""
    return {"ev": "forked", "pid": pid}


def broken(reason: str) -> Said:
    return {"ev": "broken", "reason": reason}
