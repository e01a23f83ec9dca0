"""What a status tells of how capabilities were found is bounded, and text whatever the paths are."""

from __future__ import annotations

import time
from pathlib import Path

from contracts.codec import encode
from contracts.messages import Capability, Status
from contracts.timing import TEXT_MAX
from worker_agent.capabilities import Inventory
from worker_agent.capabilities.abilities import FOUND_MAX, FOUND_TOLD, Abilities
from worker_agent.capabilities.inventory import Evidence
from worker_agent.program.settings import Settings


def test_many_and_long_ones_fit_into_a_status(tmp_path: Path) -> None:
    abilities = Abilities(Settings(amqp_url="amqp://localhost", state=tmp_path))
    abilities._inventory = Inventory(
        evidence=tuple(
            Evidence(
                capability=Capability(name=f"tool-{number}", version="1.2"),
                probe="p",
                how="command",
                when=time.time(),
                path="/opt/\udcff/" + "x" * TEXT_MAX,
            )
            for number in range(3 * FOUND_TOLD)
        )
    )
    found = abilities.found()
    assert len(found) == FOUND_TOLD
    assert max(map(len, found.values())) == FOUND_MAX
    status = Status(
        instance="i", agent="a", epoch=1, address="agent.u.i.n", version="1", now=1.0, state="ready", slots=(),
        capabilities=(), found=found,
    )  # fmt: skip
    encode(status)  # raises what is too large, or no text
