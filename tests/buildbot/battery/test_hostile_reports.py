"""Reports that mean harm, on real parts: the step ends and says what was wrong; the master neither grows nor stops."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster

RUNNER = Path(__file__).with_name("hostile.py")
#: unit -> what its own log says; "": it passes, though nothing may be known of it
UNITS = {
    "ok-bomb": "",
    "ok-html": "",
    "ok-fifo": "",
    "ok-zero": "",
    "ok-folder": "",
    "ok-none": "",
    "ok-others": "",
    "bad-bomb": "it has a document type",
    "bad-file": "it has a document type",
    "bad-big": "its report is longer than",
    "bad-none": "it wrote no report",
    "bad-twice": "the second time",
    "bad-latin": "K\ufffdse",
    "bad-control \x1b]0;title\x07": "it is no XML",
    "bad-markup <script>alert(1)</script>": "<b>wrong</b>",
}
#: Bytes that a master may need more than before: nowhere near a report's 100 MB.
GROWTH = 60 * 1024 * 1024


def test_hostile_reports(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Entities, 100 MB, other documents, names for terminals and browsers, what is no file, nothing at all."""
    listed = tmp_path / "units"
    listed.write_text("".join(f"{unit}\n" for unit in UNITS))
    master = make_master(f"""
c['workers'] = [worker.LocalWorker("local")]
builder("b", c['workers'], steps.Battery(units="cat {listed}", requires=["gtk"], report="junit.xml",
    command=[{sys.executable!r}, {str(RUNNER)!r}, "junit.xml", util.Units()], target_seconds=0.001))
""")
    for name in ("a1", "a2"):
        make_agent(name, capabilities=["gtk"])
    before = psutil.Process(master.pid).memory_info().rss
    request = master.force("b")
    build = master.finished(request, 120)
    bad = [unit for unit, said in UNITS.items() if said]
    text = build.steps["battery"]["state_string"]
    assert text.startswith(f"{len(UNITS)} units, {len(bad)} failed, "), master.describe(request)
    assert "reports could not be used" in text
    assert text.isprintable()
    for unit, said in UNITS.items():
        if said:
            shown = unit.replace("\x1b", "\\x1b").replace("\x07", "\\x07")
            assert said in master.step_log(build, "battery", f"failed: {shown}"), unit
    summary = master.step_log(build, "battery", "summary")
    for told in ("it begins with 'html'", "it has a document type", "it wrote no report", "it is longer than"):
        assert told.removeprefix("it is ") in summary, told
    assert "\x1b" not in summary
    assert "root:" not in summary
    merged = next((master.folder / "batteries").glob("*/junit.xml")).read_text()
    assert "not asked for" not in merged
    assert psutil.Process(master.pid).memory_info().rss - before < GROWTH
