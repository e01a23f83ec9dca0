"""An agent claims and runs work from a real broker."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from contracts.messages import Claim
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import shell, until

pytestmark = pytest.mark.brokers


async def test_a_build_is_claimed_run_and_released(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """An agent that satisfies a queue claims its offer, runs the commands, tells everything and acknowledges."""
    master = await open_master("gtk")
    await master.offer("gtk")
    start_agent("agent", "--capability", "gtk=3.24")

    claim = await master.wait_for(Claim)
    await master.grant(claim)
    await master.build(claim, [shell(1, "echo", "hello"), shell(2, "false")])

    events = master.events(claim.session)
    assert b"".join(event.data for event in events if event.kind == "stdout") == b"hello\n"
    assert [event.value for event in events if event.kind == "update" and event.value[0] == "rc"] == [
        ["rc", 0],
        ["rc", 1],
    ]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert claim.agent == "agent"
    second = await master.offer("gtk")  # acknowledged, or it would not take another
    assert (await master.wait_for(Claim, lambda claim: claim.offer == second.offer)).offer == second.offer


#: Notes each text that goes into Python's table of interned ones, as `pathlib` has it do with each name of a path.
_NOTING = """
import sys

intern = sys.intern

def noted(text):
    with open({file!r}, "a") as file:
        file.write(text + "\\n")
    return intern(text)

sys.intern = noted
"""


async def test_a_build_has_python_intern_no_text(
    start_agent: StartAgent, open_master: OpenMaster, tmp_path: Path
) -> None:
    """Of names that come and go the table is made anew, a megabyte, again and again: an agent grew by 4 MB an hour."""
    noted = tmp_path / "interned"
    (tmp_path / "sitecustomize.py").write_text(_NOTING.format(file=str(noted)))
    master = await open_master("any")
    agent = start_agent("agent", environment={"PYTHONPATH": str(tmp_path)}, prefix=("env",))
    for _ in range(2):
        offer = await master.offer("any")
        claim = await master.wait_for(Claim, partial(_is_for, offer.offer))
        before = len(noted.read_text().split("\n"))
        await master.grant(claim)
        await master.build(claim, [shell(1, "true")])
        await until(lambda: not list((agent.folder / "state" / "sessions").iterdir()), "the end of the session")
    of_second = noted.read_text().split("\n")[before:-1]
    assert {*of_second} <= {*agent.folder.parts, "state", "builds"}


def _is_for(offer: str, claim: Claim) -> bool:
    return claim.offer == offer
