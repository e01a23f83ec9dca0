"""`python -m benchmarks.profile fanout|log|many|steps [text]`: where the bridge's and an agent's time goes.

Samples both with py-spy (200 a second) and writes profiles/<case>.txt: shares by function, waiting left out.
"""

from __future__ import annotations

import collections
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measures import fanout, many
from benchmarks.stand.peers import WORKERS, Peer
from benchmarks.stand.processes import cpu_seconds, tree
from benchmarks.stand.stage import Stage

PROFILES = Path(__file__).parent / "profiles"
#: Functions in which a thread only waits.
_WAITING = ("wait (threading", "select (selectors", "doPoll (", "_worker (concurrent", "get (queue")
_SHOWN = 20
_OURS = ("master_bridge", "worker_agent", "contracts")


class Sampled:
    """Samples process `pid` while the block runs; `shares` afterwards."""

    def __init__(self, pid: int, folder: Path) -> None:
        self._output = folder / f"{pid}.txt"
        command = [
            "py-spy",
            "record",
            "--nonblocking",
            "-f",
            "raw",
            "-r",
            "200",
            "-o",
            str(self._output),
            "-p",
            str(pid),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self) -> str:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)
        return shares(self._output.read_text().splitlines())


def shares(stacks: list[str]) -> str:
    """Collapsed stacks ("frame;frame count") as two tables: by the innermost function, and by any on the stack."""
    own: collections.Counter[str] = collections.Counter()
    within: collections.Counter[str] = collections.Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = [frame.replace(str(Path(__file__).parents[1]) + "/", "") for frame in stack.split(";")]
        if any(text in frames[-1] for text in _WAITING):
            continue
        functions = [frame.rpartition(":")[0] or frame for frame in frames]
        own[functions[-1]] += int(count)
        for function in set(functions):
            within[function] += int(count)
    busy = max(1, sum(own.values()))
    lines = [f"{busy} samples of work"]
    for title, counts in (("the function itself", own), ("with what it calls", within)):
        lines += [f"-- {title}", *(f"{100 * n / busy:5.1f} %  {name})" for name, n in counts.most_common(_SHOWN))]
    ours = [(name, n) for name, n in within.most_common() if any(f"({package}/" in name for package in _OURS)]
    lines += ["-- of this project, with what it calls", *(f"{100 * n / busy:5.1f} %  {name})" for name, n in ours[:15])]
    return "\n".join(lines)


def _play(case: str, peer: Peer) -> None:
    if case == "many":
        many.play(peer, many.BUILDS)
    elif case == "fanout":
        fanout.play(peer, fanout.LEAST)
    else:
        peer.run(case)


def main() -> int:
    case = sys.argv[1]
    learnt = sys.argv[2] if len(sys.argv) > 2 else ""
    with Stage(rounds=1, quick=False, names=["ours"], say=print) as stage, tempfile.TemporaryDirectory() as folder:
        peer = stage.peers[0]
        peer.have_workers({"many": WORKERS, "fanout": fanout.CROWDS[0]}.get(case, 1))
        _play(case, peer)  # what happens once is over
        peer.settle()
        agent = peer.workers[0].pid
        before, began = [cpu_seconds(pids) for pids in ([peer.master.pid], tree(agent))], time.monotonic()
        sampled = [Sampled(pid, Path(folder)) for pid in (peer.master.pid, agent)]
        _play(case, peer)
        took = time.monotonic() - began
        master, agents = (
            cpu_seconds(pids) - old for pids, old in zip(([peer.master.pid], tree(agent)), before, strict=True)
        )
        texts = [each.end() for each in sampled]
    told = f"{took:.1f} s; processor time: master {master:.1f} s, this agent with its keeper {agents:.1f} s"
    parts = [f"# {case}: {told}", learnt, "## Master", texts[0], "## Agent (main process)", texts[1]]
    (PROFILES / f"{case}.txt").write_text("\n\n".join(part for part in parts if part) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
