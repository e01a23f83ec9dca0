"""What anybody may send to the fleet's page over HTTP, to a real master: an answer in JSON each time, no traceback."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.timeout(300)

CONFIG = """
c['workers'] = worker.amqp_column("gtk", workers=1, requires=["gtk>=3"])
builder("gtk", ["gtk-1"], steps.ShellCommand(command=["true"]))
"""
#: Sent for a number, percent-encoded: superscripts, Arabic digits, half a character, more digits than Python reads.
NO_NUMBERS = ("-1", "%C2%B2", "%D9%A3", "%FF%FE", "%00", "NaN", "1e9", "", "9" * 300, "9" * 5_000)


def ask(master: BuildMaster, path: str, body: bytes | None = None) -> tuple[int, Any]:
    """Status, and what its JSON says; the query of `path` goes as it is."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    url = f"http://127.0.0.1:{master.www_port}/plugins/amqp_fleet/{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return int(answer.status), json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_whatever_is_asked_is_answered(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """Arguments and orders that no page sends; an order that names an agent a thousand times reaches it once."""
    master = make_master(CONFIG)
    agent = make_agent("first", capabilities=["gtk=3.24"])
    wait_for(lambda: len(ask(master, "fleet")[1]["agents"]) == 1, 60, lambda: agent.log()[-2000:])
    known = ask(master, "fleet")[1]
    identity = known["agents"][0]["id"]
    for at in NO_NUMBERS:
        status, answer = ask(master, f"fleet?incarnation={known['incarnation']}&at={at}")
        assert (status, answer["incarnation"]) == (200, known["incarnation"]), at
    for requirement in ("%FF", "gtk%00", "(" * 6_000, "gtk%3E%3D" + "9" * 6_000, "a" + "9" * 6_000):
        status, answer = ask(master, f"match?requirement={requirement}")
        assert (status, "bad requirement" in answer["error"]) == (200, True), requirement
    for wanted in ("", "%FF", "/" * 5_000, "%00/%00", "a/b/c"):
        assert ask(master, f"agent?id={wanted}")[0] == 404

    order = {"order": "probe", "agents": [identity] * 1_000, "reason": "because"}
    for body, expected in (
        (b"[" * 500_000, 400),
        (b'{"a":' * 100_000, 400),
        (b"9" * 900_000, 400),
        (b'"' + b"x" * 10_000_000 + b'"', 413),
        (b"\xff\xfe\x00", 400),
        (b"NaN", 400),
        (b"", 400),
        (json.dumps({**order, "agents": [[identity]]}).encode(), 400),
        (json.dumps({**order, "order": {}}).encode(), 400),
        (json.dumps({**order, "reason": 5}).encode(), 400),
    ):
        status, answer = ask(master, "orders", body)
        assert (status, list(answer)) == (expected, ["error"]), body[:50]
    assert ask(master, "orders", json.dumps(order).encode()) == (200, {"told": [identity]})
    assert len(ask(master, "orders")[1]["orders"]) == 1
    assert "Traceback" not in master.log()


def test_it_comes_and_goes_with_a_reconfig(make_master: Callable[..., BuildMaster]) -> None:
    """A master without agents has no such page; its first agents bring it, and it goes with them."""
    without = (
        "c['services'] = []\nc['workers'] = [worker.LocalWorker('local')]\n"
        "builder('gtk', ['local'], steps.ShellCommand(command=['true']))\n"
    )
    master = make_master(without, start=False)
    master.start()
    plugins = f"http://127.0.0.1:{master.www_port}/plugins/amqp_fleet"
    assert _status(f"{plugins}/scripts.js") == 404
    assert "amqp_fleet" not in _config(master)
    master.reconfigure(CONFIG)
    assert "amqp_fleet" in _config(master)
    assert [_status(f"{plugins}/{name}") for name in ("scripts.js", "styles.css")] == [200, 200]
    assert (ask(master, "fleet")[0], ask(master, "orders")[0]) == (200, 200)
    master.reconfigure(without)
    assert "amqp_fleet" not in _config(master)
    assert _status(f"{plugins}/fleet") == 404
    master.reconfigure(CONFIG)
    assert ask(master, "fleet")[0] == 200
    assert "Traceback" not in master.log()


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _config(master: BuildMaster) -> list[str]:
    """The plugins that the index tells a browser to load."""
    with urllib.request.urlopen(f"http://127.0.0.1:{master.www_port}/config", timeout=60) as answer:
        return list(json.load(answer).get("plugins", ()))
