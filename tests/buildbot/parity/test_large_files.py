"""Files of 200 MB both ways: whole, checked, and with memory that does not grow on either side."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster

SIZE = 200_000_000
#: Bytes that a process may grow by while a file passes through it: windows, not files. Python gives little back.
GROWTH = 30_000_000


class Memory(threading.Thread):
    """The most resident memory (bytes) that master, agent and keepers had, and what they had at first."""

    def __init__(self, master: int, agent: int) -> None:
        super().__init__(daemon=True)
        self._master, self._agent = psutil.Process(master), psutil.Process(agent)
        self._over = threading.Event()
        self.first: dict[str, int] = {}
        self.most: dict[str, int] = {}

    def run(self) -> None:
        while not self._over.wait(0.1):
            self._note("master", self._master)
            self._note("agent", self._agent)
            for child in self._agent.children():
                try:
                    if "worker_agent.keeper" in " ".join(child.cmdline()):
                        self._note("keeper", child)
                except psutil.NoSuchProcess:
                    continue

    def _note(self, what: str, process: psutil.Process) -> None:
        size = process.memory_info().rss
        self.first.setdefault(what, size)
        self.most[what] = max(size, self.most.get(what, 0))

    def stop(self) -> dict[str, int]:
        """By how much each has grown."""
        self._over.set()
        self.join()
        return {what: self.most[what] - self.first[what] for what in self.most}


@pytest.mark.long
def test_large_files_go_both_ways_in_bounded_memory(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """200 MB down, up as a file and up in a directory arrive byte for byte; no process grows by more than windows."""
    digest = hashlib.sha256()
    with (tmp_path / "source").open("wb") as file:
        for number in range(SIZE // 1_000_000):
            block = hashlib.sha256(str(number).encode()).digest() * 31_250
            digest.update(block)
            file.write(block)
    master = make_master(
        f"""
c['workers'] = worker.amqp_column("any", workers=1)
builder("first", c['workers'], steps.ShellCommand(command="true"))
builder("b", c['workers'],
    steps.FileDownload(name="down", mastersrc="{tmp_path}/source", workerdest="f"),
    steps.ShellCommand(name="sum", command="mkdir d; ln f d/f; sha256sum < f"),
    steps.FileUpload(name="up", workersrc="f", masterdest="{tmp_path}/back"),
    steps.DirectoryUpload(name="tree", workersrc="d", masterdest="{tmp_path}/tree"))
"""
    )
    agent = make_agent("a1")
    # an agent that has just been started still grows by its own modules
    assert master.finished(master.force("first"), 60).result == "SUCCESS"
    memory = Memory(master.pid, agent.pid)
    memory.start()
    request = master.force("b")
    build = master.finished(request, 400)
    grown = memory.stop()
    assert build.result == "SUCCESS", master.describe(request)
    assert digest.hexdigest() in master.output(build, "sum")
    for copy in (tmp_path / "back", tmp_path / "tree" / "f"):
        assert hash_of(copy) == digest.hexdigest()
    print(f"grown by, in bytes: {grown}")
    assert set(grown) == {"master", "agent", "keeper"}
    assert max(grown.values()) < GROWTH, grown


def hash_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
