"""What a master does with memory that is free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

CONFIG = """
from contracts.operations import memory
memory.GIVE_BACK_EVERY = 0.1
def give_back():
    with open({told!r}, "a") as file:
        file.write("given back\\n")
memory.give_back = give_back
c['workers'] = [worker.LocalWorker('w')]
builder('any', ['w'], steps.ShellCommand(command=['true']))
"""


def test_a_master_gives_free_memory_back_again_and_again(
    make_master: Callable[..., BuildMaster], tmp_path: Path
) -> None:
    """Builds without a pause made it grow by half a megabyte an hour, of memory that was free."""
    told = tmp_path / "told"
    make_master(CONFIG.format(told=str(told)))
    wait_for(lambda: told.exists() and told.read_text().count("\n") > 2, 30, "memory to be given back three times")
