"""Orders that no agent of ours gives: each settles itself, and what runs, runs on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from contracts.codec import decode
from contracts.errors import BadMessage
from tests.unit.keeper_processes.driving.harness import Driven, eventually, stream
from worker_agent.core.inputs import KeeperLost
from worker_agent.keeper.wire import WIRE_VERSION
from worker_agent.keepers.client import Keeper

ODD: tuple[Any, ...] = (None, "", "x", -1, 1.5, True, 2**53, 10**400, [], [[]], {}, {"a": 1})
WHOLE: dict[str, dict[str, Any]] = {
    "run": {"n": 2, "name": "shell", "args": {}, "digest": ""},
    "complete_unstarted": {"n": 2, "name": "shell", "digest": "", "reason": ""},
    "interrupt": {"n": 1, "reason": "r"},
    "feed": {"n": 1, "offset": 0, "size": 0},
    "trim": {"seq": 0},
    "detach": {"grace": 60.0},
}


@pytest.fixture
async def driven(tmp_path: Path) -> AsyncIterator[Driven]:
    keeper = await Driven(tmp_path).open()
    yield keeper
    await keeper.keeper.close()


def orders() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{}, {"op": None}, {"op": "no such"}, {"op": []}, {"op": {"a": 1}}]
    for op, fields in WHOLE.items():
        for name, good in fields.items():
            others = [{key: value for key, value in fields.items() if key != name}]
            others += [{**fields, name: odd} for odd in ODD if type(odd) is not type(good) or odd in (-1, 2**53)]
            found += [{"op": op, **each} for each in others if not (op == "detach" and not each.get(name))]
    return found


async def test_an_odd_order_changes_nothing_else(driven: Driven, tmp_path: Path) -> None:
    """While a command runs: it goes on, the next one runs, and the keeper's clocks go on."""
    go = tmp_path / "go"
    running = driven.shell(["sh", "-c", f"echo began; while [ ! -e {go} ]; do sleep 0.1; done; echo ended"])
    await driven.output(b"began")
    for order in orders():
        driven.keeper._send(order)
    failed = await driven.completed(2)
    assert "its keeper cannot run it" in failed[-1].value
    go.touch()
    events = await driven.completed(running)
    assert stream(events, "stdout").endswith(b"ended\n")
    assert events[-1].value is None
    driven._n = 2
    assert stream(await driven.completed(driven.shell(["echo", "next"])), "stdout") == b"next\n"
    assert driven.lost is None


@pytest.mark.parametrize(
    "arguments",
    [
        *({name: odd} for name in ("timeout", "maxTime", "max_lines", "sigtermTime", "logfiles", "initial_stdin", "env",
                                   "interruptSignal", "workdir", "logEnviron", "want_stdout")
          for odd in ("x", -1, 2**62, 1e300, [1], {"a": [1]}, None)),
        {"command": 5}, {"command": []}, {"command": [[]]}, {"command": {"a": 1}}, {"command": ["a\0b"]},
    ],
    ids=str,
)  # fmt: skip
async def test_odd_arguments_of_a_command_end_that_command(driven: Driven, arguments: dict[str, Any]) -> None:
    """With whatever result: it is over, nothing of it is left, and the next one runs."""
    command = driven.start("shell", {"workdir": "build", "command": ["echo", "x"], **arguments})
    await driven.completed(command)
    assert stream(await driven.completed(driven.shell(["echo", "next"])), "stdout") == b"next\n"
    keeper = psutil.Process(driven.keeper.pid)
    await eventually(lambda: len(keeper.children()) <= 1, "only its guard is left")


def test_what_is_nested_too_deep_for_any_reader_is_no_message() -> None:
    """Python's own limit depends on how deep the caller is; that of the protocol does not."""
    start = {
        "t": "start",
        "v": 1,
        "session": "s",
        "incarnation": "i",
        "command": {"n": 1, "name": "shell", "digest": "d"},
    }
    for depth, good in ((90, True), (120, False), (500, False), (900, False), (5000, False)):
        args = '{"a":' * depth + "1" + "}" * depth
        text = json.dumps(start)[:-2] + f', "args": {args}' + "}}"
        try:
            decode(text.encode())
        except BadMessage:
            assert not good
        else:
            assert good


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense\n", b"[" * 100_000 + b"\n", b"[]\n", b"{}\n", b'{"ev":"journalled"}\n',
        b'{"ev":"journalled","seq":"x"}\n',
        b'{"ev":"pull","n":1,"offset":-1,"length":1}\n', b'{"ev":"hello"}\n', b'{"ev":"hello","version":[]}\n',
        b'{"ev":"broken"}\n', b'{"ev":"closed","ended":7}\n', b'{"ev":"closed","bytes":-1}\n', b'{"bytes":"x"}\n',
        b'{"ev":"journalled","seq":1,"bytes":1e400}\n',
    ],
)  # fmt: skip
async def test_a_keeper_that_says_nonsense_is_lost_alone(tmp_path: Path, said: bytes) -> None:
    """Somebody else has taken its socket's place. No error reaches the event loop; its session is lost."""
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
    folder = tmp_path / "session"
    folder.mkdir()

    async def false_keeper(_reader: Any, writer: Any) -> None:
        hello = {"ev": "hello", "version": WIRE_VERSION, "pid": 2**22, "seq": 0, "running": []}
        writer.write(json.dumps(hello).encode() + b"\n" + said)
        writer.close()

    server = await asyncio.start_unix_server(false_keeper, folder / "keeper.sock")
    heard: list[Any] = []
    keeper = await Keeper.attach(session="session-of-nobody", folder=str(folder), on_input=heard.append)
    if keeper is not None:
        await eventually(lambda: any(isinstance(each, KeeperLost) for each in heard), "its loss is told")
    server.close()
    assert not errors
