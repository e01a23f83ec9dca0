"""`python -m benchmarks [case …]`: measure, check, write the results, their page and table, README's table, plots.

Written are results/newest.json, page.html, table.md; runs with --as-documented are a second set in the same files. Runs
with --quick and --postgres have folders of their own.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from benchmarks.cases import CASES, DOCUMENTED, NOT_QUICK, ON_REQUEST, SECONDS
from benchmarks.measures.thousands import PART_SECONDS, PARTS, parts_of
from benchmarks.report.battery import battery_tables
from benchmarks.report.page import write_page
from benchmarks.report.readme import headline, put_into
from benchmarks.report.results import NEWEST, load
from benchmarks.report.table import documented_table, scale_table, table
from benchmarks.run import Run, Say
from benchmarks.stand.peers import NAMES, USUAL
from benchmarks.stand.stage import Stage

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "benchmarks" / "results"
#: Results of other runs than whole ones with full inputs: not the project's figures, and not in the repository.
OTHERS = PROJECT / "build" / "benchmarks"


def main() -> int:
    parser = _parser()
    options = parser.parse_args()
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    if options.resume and options.cases:
        parser.error("--resume plays what the last run has left: name no case with it")
    if options.as_documented and (same := [name for name in options.cases if name not in DOCUMENTED]):
        parser.error(f"--as-documented makes no difference to {', '.join(same)}")
    folder = options.results or _folder(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # the stage is cleared away
    broken = [] if options.report else _measure(options, folder)
    _report(folder)
    if broken:
        _say(f"broken: {', '.join(broken)}; why is above; --resume plays them again")
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "cases", nargs="*", metavar="case", help=f"of {', '.join(CASES)}; default: all but {', '.join(ON_REQUEST)}"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"small inputs and one round, for a look; without {', '.join(sorted(NOT_QUICK))}",
    )
    parser.add_argument("--rounds", type=int, help="measurements of each figure (default 3; with --quick 1)")
    parser.add_argument("--resume", action="store_true", help="play what an interrupted run left, and what broke in it")
    parser.add_argument(
        "--as-documented",
        action="store_true",
        help=f"agents as README starts them, default settings and --auto-capabilities: "
        f"{', '.join(name for name in CASES if name in DOCUMENTED)}",
    )
    parser.add_argument("--agents", type=_sizes, default=(), help="of the fleets of the case thousands, as 1000,5000")
    parser.add_argument("--parts", type=_parts, default=(), help=f"of the case thousands: {', '.join(PARTS)}")
    parser.add_argument(
        "--part-minutes", type=float, default=3.0, help="a part of thousands that takes longer is given up (default 3)"
    )
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="that soak measures, after its warm-up (default 30)"
    )
    parser.add_argument("--postgres", action="store_true", help="masters' databases are of PostgreSQL, not SQLite")
    parser.add_argument(
        "--peers",
        help=f"of {', '.join(NAMES)}; default: all but zmq and ssh, without msgpack with --quick and --as-documented",
    )
    parser.add_argument("--results", type=Path, help="folder of results (default: benchmarks/results, others in build)")
    parser.add_argument("--report", action="store_true", help="measure nothing, write page and table of what is there")
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    """`1000,5000`. Raises ValueError, which argparse tells."""
    sizes = tuple(int(part) for part in text.split(","))
    if min(sizes) < 1:
        raise ValueError(text)
    return sizes


def _parts(text: str) -> tuple[str, ...]:
    """`roll-call,knee`. Raises ValueError, which argparse tells."""
    parts = tuple(text.split(","))
    if not PARTS.keys() >= set(parts):
        raise ValueError(text)
    return parts


def _folder(options: argparse.Namespace) -> Path:
    kinds = {"quick": options.quick, "postgres": options.postgres}
    kind = [name for name, asked in kinds.items() if asked]
    return OTHERS / "-".join(kind) if kind else RESULTS


def _measure(options: argparse.Namespace, folder: Path) -> list[str]:
    """Names of cases that broke."""
    began, rounds = time.monotonic(), options.rounds or (1 if options.quick else 3)

    few = options.quick or options.as_documented
    names = options.peers.split(",") if options.peers else [name for name in USUAL if name != "msgpack" or not few]

    def stage(say: Say) -> Stage:
        return Stage(
            rounds=rounds,
            quick=options.quick,
            documented=options.as_documented,
            agents=options.agents,
            parts=options.parts,
            part_minutes=options.part_minutes,
            minutes=options.minutes,
            postgres=options.postgres,
            names=names,
            say=say,
        )

    about = {
        "quick": options.quick,
        "rounds": rounds,
        "as_documented": options.as_documented,
        "postgres": options.postgres,
    }
    usual = {name: seconds[options.quick] for name, seconds in SECONDS.items()}
    if parts := parts_of(options.agents, options.parts):
        usual["thousands"] = PART_SECONDS * len(parts)
    run = Run(
        CASES,
        folder / NEWEST,
        stage,
        about,
        _say,
        documented=options.as_documented,
        parts={"thousands"} if parts else (),
        usual=usual,
    )
    left_out = NOT_QUICK if options.quick else ON_REQUEST
    played = [name for name in CASES if name not in left_out and (name in DOCUMENTED or not options.as_documented)]
    cases = run.left if options.resume else options.cases or played
    if not cases:
        _say("the last run has left nothing")
        return []
    try:
        broken = run.play(cases)
    except (KeyboardInterrupt, SystemExit):
        _say(f"interrupted: {', '.join(run.left)} left; the same command with --resume plays them")
        raise
    _say(f"{time.monotonic() - began:.0f} s in all, written to {folder}")
    return broken


def _report(folder: Path) -> None:
    """The project's own results go into README and docs, too; other folders' stay there."""
    results = load(folder / NEWEST)
    figures = results.usual.figures
    folder.mkdir(parents=True, exist_ok=True)
    batteries = battery_tables(figures)
    documented = documented_table(figures, results.documented.figures)
    text = "\n".join(part for part in (table(figures), documented, scale_table(figures), batteries) if part)
    (folder / "table.md").write_text(text)
    _say("\n" + text)
    ours = folder.resolve() == RESULTS
    if ours:
        put_into(PROJECT / "README.md", headline(figures, results.documented.figures))
        if batteries:
            put_into(PROJECT / "docs" / "benchmarks.md", batteries, "battery")
    try:
        from benchmarks.report.plots import plot

        plots = plot(figures, PROJECT / "docs" / "images" if ours else folder)
    except ImportError:
        plots = []
        _say("no curves: matplotlib is missing (pip install -e .[bench])")
    _say(f"to read: {write_page(results, folder, plots)}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
