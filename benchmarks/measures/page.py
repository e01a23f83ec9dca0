"""The fleet's page with 1,000 agents: when a browser shows it, what ten viewers cost, how old what it shows is.

A real browser and a real master; the agents are told (`told_fleet`). Times in the browser begin with its request for
Buildbot's page, so Buildbot's own scripts are among them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from benchmarks.stand.peers import Peer
from benchmarks.stand.processes import cpu_seconds, tree
from benchmarks.stand.stage import Stage
from contracts.timing import STATUS_INTERVAL
from tests.harness.browser import Page, browser
from tests.harness.waiting import wait_for

AGENTS, VIEWERS = 1_000, 10
#: Seconds that are measured: of the master's time, with and without viewers; of what a browser shows.
SPAN, WATCHED = 2 * STATUS_INTERVAL, 8.0
#: Seconds for a browser that gets next to nothing of the machine: what it shows is old then, and that is measured.
_PATIENCE = 120.0
#: In each new document: when the first agent, and when all of them were there, and were painted.
_NOTE = """
window.amqpSeen = {};
const note = (name) => requestAnimationFrame(() => setTimeout(() => {
  window.amqpSeen[name] = performance.now() / 1000;
}));
new MutationObserver(() => {
  const rows = document.querySelectorAll('tr[data-agent]').length;
  for (const [name, count] of [['first', 1], ['all', %d]]) {
    if (rows >= count && !(name in window.amqpSeen)) {
      window.amqpSeen[name] = null;
      note(name);
    }
  }
}).observe(document, {childList: true, subtree: true});
"""
#: How old (seconds) what is shown of the first agent is, at worst; its version is the time at which it told it.
_WATCH = """
const [seconds, done] = arguments;
let worst = 0;
const look = setInterval(() => {
  const row = document.querySelector("tr[data-agent='told-0000']");
  const told = [...row.querySelectorAll('td')].map((cell) => cell.innerText).find((text) => /^[0-9]{10}[.]/.test(text));
  worst = Math.max(worst, Date.now() / 1000 - Number(told || 0));
}, 100);
setTimeout(() => { clearInterval(look); done(worst); }, 1000 * seconds);
"""


def run(stage: Stage) -> None:
    peer = next(peer for peer in stage.peers if peer.name == "ours")
    command = [sys.executable, "-m", "benchmarks.stand.told_fleet", stage.node.url, str(AGENTS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as fleet:
        try:
            assert fleet.stdout is not None
            assert fleet.stdout.readline() == "ready\n"
            _measure(stage, peer)
        finally:
            fleet.kill()


def _measure(stage: Stage, peer: Peer) -> None:
    pids = tree(peer.master.pid)
    what = f"{AGENTS} agents, {VIEWERS} viewers"
    time.sleep(2 * STATUS_INTERVAL)  # each agent is new to the master once
    alone, costs = [_master_cpu(pids, SPAN)], []
    for _ in range(stage.rounds):
        looked_at = _with_viewers(peer, pids, SPAN)
        alone.append(_master_cpu(pids, SPAN))
        costs.append(looked_at - (alone[-2] + alone[-1]) / 2)
    stage.add("page", f"{what}: the master without viewers", "ours", "% of a core", "less", alone)
    stage.add("page", f"{what}: what they cost the master", "ours", "% of a core", "less", costs)
    with browser(stage.folder) as page:
        page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _NOTE % AGENTS})
        paints = [_first_paint(page, peer) for _ in range(max(3, stage.rounds))]
        stage.add(
            "page", f"{AGENTS} agents: the first are painted", "ours", "s", "less", [it["first"] for it in paints]
        )
        stage.add("page", f"{AGENTS} agents: all are painted", "ours", "s", "less", [it["all"] for it in paints])
        page.driver.set_script_timeout(WATCHED + _PATIENCE)
        ages = [page.driver.execute_async_script(_WATCH, WATCHED) for _ in range(stage.rounds)]
        stage.add("page", f"{AGENTS} agents: age of what is shown, at worst", "ours", "s", "less", ages)


def _master_cpu(pids: list[int], span: float) -> float:
    """% of a core over so many seconds."""
    began, used = time.monotonic(), cpu_seconds(pids)
    time.sleep(span)
    return 100 * (cpu_seconds(pids) - used) / (time.monotonic() - began)


def _with_viewers(peer: Peer, pids: list[int], span: float) -> float:
    """The same while they look. Their first question, for everything, is among it."""
    command = [sys.executable, "-m", "benchmarks.stand.viewers"]
    command += [str(peer.master.www_port), str(VIEWERS), str(span)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as viewers:
        used = _master_cpu(pids, span)
        told, _ = viewers.communicate(timeout=120)
    assert json.loads(told)["answers"] > VIEWERS
    return used


def _first_paint(page: Page, peer: Peer) -> dict[str, float]:
    page.driver.get("about:blank")
    page.driver.get(f"http://127.0.0.1:{peer.master.www_port}/#/fleet")
    seen = lambda: page.driver.execute_script("return window.amqpSeen")  # noqa: E731
    wait_for(
        lambda: (seen() or {}).get("all"), _PATIENCE, lambda: f"all agents on the page: {seen()} {page.text()[:500]}"
    )
    found: dict[str, float] = seen()
    return found
