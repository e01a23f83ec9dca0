"""`python -m benchmarks [case …]`: measure, check, write results/*.json, results/table.md, README's table and plots."""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.report.battery import battery_tables
from benchmarks.report.readme import headline, put_into
from benchmarks.report.results import latest, machine, save
from benchmarks.report.table import scale_table, table
from benchmarks.stand.peers import NAMES
from benchmarks.stand.stage import Stage

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "benchmarks" / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small inputs and one round: under 3 minutes")
    parser.add_argument("--rounds", type=int, help="measurements of each figure (default 3; with --quick 1)")
    parser.add_argument(
        "--as-documented",
        action="store_true",
        help="agents as README starts them: default settings, --auto-capabilities",
    )
    parser.add_argument("--peers", default=",".join(NAMES), help="of %(default)s")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of results (default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="measure nothing, write table and plots of what is there")
    options = parser.parse_args()
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # the stage is cleared away
    complete = options.report or _measure(options.cases or list(CASES), options)
    _report(options.results)
    return 0 if complete else 1


def _measure(cases: list[str], options: argparse.Namespace) -> bool:
    """False: a case broke."""
    failed: list[str] = []
    began, about = time.monotonic(), machine()
    rounds = options.rounds or (1 if options.quick else 3)
    path = options.results / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    with Stage(
        rounds=rounds,
        quick=options.quick,
        documented=options.as_documented,
        names=options.peers.split(","),
        say=_say,
    ) as stage:
        for name in cases:
            _say(f"-- {name}")
            try:
                CASES[name](stage)
            except Exception:
                failed.append(name)
                traceback.print_exc()  # the other cases are worth their time all the same
            finally:  # an interrupted case keeps the figures that it has
                save(
                    path,
                    {**about, "quick": options.quick, "rounds": rounds, "as_documented": options.as_documented},
                    stage.figures,
                )
    _say(f"{time.monotonic() - began:.0f} s in all, written to {path}")
    if failed:
        _say(f"broken: {', '.join(failed)}")
    return not failed


def _report(folder: Path) -> None:
    """The project's own results go into README and docs, too; other folders' stay there."""
    figures = latest(folder)
    batteries = battery_tables(figures)
    text = "\n".join(part for part in (table(figures), scale_table(figures), batteries) if part)
    (folder / "table.md").write_text(text)
    _say("\n" + text)
    ours = folder.resolve() == RESULTS
    if ours:
        put_into(PROJECT / "README.md", headline(figures))
        if batteries:
            put_into(PROJECT / "docs" / "benchmarks.md", batteries, "battery")
    try:
        from benchmarks.report.plots import plot

        plot(figures, PROJECT / "docs" / "images" if ours else folder)
    except ImportError:
        _say("no plots: matplotlib is missing (pip install -e .[bench])")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
