"""A run of the benchmarks: what is kept when a case breaks or somebody interrupts, and what the page says."""

from __future__ import annotations

import signal
import time
from collections.abc import Collection
from pathlib import Path

import pytest

from benchmarks.__main__ import _sizes
from benchmarks.cases import CASES, DOCUMENTED, NOT_QUICK, ON_REQUEST, SECONDS
from benchmarks.measures.claims import Talk, TooLong
from benchmarks.report import words
from benchmarks.report.figures import Figure
from benchmarks.report.page import write_page
from benchmarks.report.readme import headline
from benchmarks.report.results import Measured, Results, Sets, load, save
from benchmarks.report.table import documented_table
from benchmarks.run import Case, Run
from benchmarks.stand.stage import Stage


class Recorder(Stage):
    """A stage without parts."""

    def __init__(self, opened: list[int]) -> None:
        super().__init__(rounds=1, quick=True, say=lambda text: None)
        opened.append(len(opened))


class Bench:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "newest.json"
        self.stages: list[int] = []
        self.said: list[str] = []

    def run(self, *, documented: bool = False, parts: Collection[str] = (), **cases: Case) -> Run:
        about, stage = {"rounds": 1}, lambda say: Recorder(self.stages)
        return Run(cases, self.path, stage, about, self.said.append, documented=documented, parts=parts)


def good(value: float, peer: str = "ours") -> Case:
    def case(stage: Stage) -> None:
        stage.add("steps", "a `true` step", peer, "ms", "less", [value])

    return case


def bad(error: type[BaseException]) -> Case:
    def case(stage: Stage) -> None:
        good(99)(stage)
        raise error("no more")

    return case


def test_a_case_that_breaks_keeps_its_older_figures_and_costs_no_other(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.run(a=good(1), b=good(2)).play(["a", "b"]) == []
    assert bench.run(a=bad(OSError), b=good(3)).play(["a", "b"]) == ["a"]
    found = load(bench.path).usual
    assert [figure.values for figure in found.figures] == [(1.0,), (3.0,)]
    assert found.broken == {"a": "no more"}
    assert found.left == ["a"]
    assert len(bench.stages) == 3, "after a case that broke another stage"
    assert "left] -- a" in bench.said[-2]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_an_interrupt_left_is_known(tmp_path: Path, error: type[BaseException]) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(error):
        bench.run(a=good(1), b=bad(error), c=good(3)).play(["a", "b", "c"])
    again = bench.run(a=good(1), b=good(2), c=good(3))
    assert again.left == ["b", "c"]
    assert again.play(again.left) == []
    assert [figure.values for figure in load(bench.path).usual.figures] == [(1.0,), (2.0,), (3.0,)]


def test_agents_as_documented_are_a_second_set_beside_the_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run(a=good(1)).play(["a"])
    assert bench.run(documented=True, a=bad(OSError)).play(["a"]) == ["a"]
    assert bench.run(documented=True, a=good(2)).left == ["a"]
    assert bench.run(a=good(1)).left == [], "what one set's run left is not the other's"
    bench.run(documented=True, a=good(2)).play(["a"])
    found = load(bench.path)
    assert [figure.values for figure in found.usual.figures] == [(1.0,)]
    assert [figure.values for figure in found.documented.figures] == [(2.0,)]


def test_what_a_run_of_parts_did_not_measure_is_kept_and_tells_of_when_it_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run(a=good(1)).play(["a"])
    first = load(bench.path).usual.cases["a"]
    bench.run(parts=["a"], a=good(2, "a setting")).play(["a"])
    bench.run(parts=["a"], a=good(3, "a setting")).play(["a"])
    found = load(bench.path).usual.cases["a"]
    assert [(figure.peer, figure.values, figure.when) for figure in found.figures] == [
        ("ours", (1.0,), first.about["when"]),
        ("a setting", (3.0,), None),
    ]
    assert found.seconds == first.seconds, "the remaining time is that of a whole run"
    bench.run(a=good(4)).play(["a"])
    assert [figure.values for figure in load(bench.path).usual.figures] == [(4.0,)]


def test_the_remaining_time_is_that_of_the_last_run_or_the_usual_one() -> None:
    def took(seconds: float | None) -> Measured:
        return Measured(about={}, figures=(), seconds=seconds)

    assert Results(cases={"a": took(None)}).remaining(["a"], {}) is None
    known = Results(cases={"a": took(10), "b": took(20), "c": took(None)})
    assert known.remaining(["a", "b"], {"a": 1}) == 30
    assert known.remaining(["c", "new"], {"c": 3, "new": 4}) == 7
    assert known.remaining(["a", "b"], {"a": 1}, parts=["a"]) == 21, "a part of it takes another time"


def test_a_usual_run_fits_into_half_an_hour_and_a_quick_one_into_five_minutes() -> None:
    assert SECONDS.keys() == CASES.keys()
    assert sum(SECONDS[name][0] for name in CASES if name not in ON_REQUEST) < 30 * 60
    assert sum(SECONDS[name][1] for name in CASES if name not in NOT_QUICK) < 5 * 60
    told = (Path(__file__).parents[3] / "docs" / "benchmarks.md").read_text()
    for name in CASES:
        full, quick = SECONDS[name]
        assert f"| {name} | {full:g} | {'' if name in NOT_QUICK else f'{quick:g}'} |\n" in told


def test_a_process_that_does_not_answer_is_ended_at_its_deadline() -> None:
    with Talk("http.server", "0", deadline=time.monotonic() + 0.5) as talk:
        with pytest.raises(TooLong, match="had no answer"):
            talk.hear()
        assert talk.process.wait() == -signal.SIGKILL


@pytest.mark.parametrize(("ours", "verdict"), [(34.0, "— reached"), (36.0, "— not reached")])
def test_the_page_explains_itself(tmp_path: Path, ours: float, verdict: str) -> None:
    def figure(peer: str, value: float) -> Figure:
        return Figure(case="steps", what="a `true` step", peer=peer, unit="ms", better="less", values=(value,))

    about = {"when": "now", "cores": 2, "cpu": "<cpu>", "load_before": 0.5, "rounds": 1}
    case = Measured(about=about, figures=(figure("PB", 100), figure("ours", ours)), seconds=5)
    other = Measured(about=about, figures=(figure("PB", 80), figure("ours", 40)), seconds=5)
    results = Results(cases={"steps": case}, broken={"log": "<why>"})
    save(tmp_path / "newest.json", Sets(usual=results))
    text = write_page(load(tmp_path / "newest.json"), tmp_path, []).read_text()
    for said in (
        "(ms; shorter is better)", ">ms; shorter is better</text>", f"at most 0.35 times PB {verdict}", "&lt;cpu&gt;",
        "&lt;why&gt;", "<svg", "what a step costs",
    ):  # fmt: skip
        assert said in text
    assert "as documented" not in text, "there is no such run"
    save(tmp_path / "newest.json", Sets(usual=results, documented=Results(cases={"steps": other})))
    text = write_page(load(tmp_path / "newest.json"), tmp_path, []).read_text()
    for said in (
        f"ours: {ours / 100:.2f} times PB", "ours, as documented: 0.50 times PB", ">ours, as documented</text>",
        f"ours at most 0.35 times PB {verdict}", "ours, as documented at most 0.35 times PB — not reached",
        f"<td>{ours / 100:.2f}</td><td>0.50</td>",
    ):  # fmt: skip
        assert said in text
    assert "http" not in text, "it needs nothing else"


def test_all_rates_of_builds_are_in_one_plot(tmp_path: Path) -> None:
    def figure(rate: int, value: float) -> Figure:
        what = f"request to accept, p99: {rate} builds/s, 100 agents"
        return Figure(case="thousands", what=what, peer="1 node", unit="ms", better="less", values=(value,))

    about = {"when": "now", "cores": 2, "cpu": "cpu", "load_before": 0.5, "rounds": 1}
    case = Measured(about=about, figures=(figure(25, 10), figure(50, 20)))
    text = write_page(Sets(usual=Results(cases={"thousands": case})), tmp_path, []).read_text()
    assert text.count("<svg") == 1
    for said in ("thousands: request to accept, p99, 100 agents (ms", ">1 node, 25 builds/s<", ">1 node, 50 builds/s<"):
        assert said in text


def test_each_case_is_explained_on_the_page() -> None:
    assert words.CASES.keys() == CASES.keys()
    assert CASES.keys() > DOCUMENTED


def test_the_table_of_the_readme_has_both_ratios() -> None:
    def figure(peer: str, value: float) -> Figure:
        return Figure(case="steps", what="a `true` step", peer=peer, unit="ms", better="less", values=(value,))

    usual, documented = [figure("PB", 100), figure("ours", 22)], [figure("PB", 80), figure("ours", 20)]
    assert headline(usual).splitlines()[2:] == ["| a step that runs `true`, ms | 100 |  | 22 |  | 0.22 |"]
    head, line, row, _, said = headline(usual, documented).splitlines()
    assert "as [below](#use-it)" in said
    assert head.endswith("| ours : PB | ours : PB, agents as below |")
    assert head.count("|") == line.count("|") == row.count("|")
    assert row == "| a step that runs `true`, ms | 100 |  | 22 |  | 0.22 | 0.25 |"


def test_ratios_stand_beside_those_of_agents_as_documented() -> None:
    def figure(peer: str, value: float, what: str = "x") -> Figure:
        return Figure(case="many", what=what, peer=peer, unit="steps/s", better="more", values=(value,))

    usual = [figure("PB", 10), figure("ours", 20), figure("ours", 1, "another")]
    rows = documented_table(usual, [figure("PB", 8), figure("ours", 12)]).splitlines()
    assert rows[2:] == ["| many | x, steps/s | more | 20 | 12 | 2.00 | 1.50 |  |  |  |  |"]
    assert documented_table(usual, []) == ""


def test_sizes_of_fleets_are_numbers_above_zero() -> None:
    assert _sizes("1000,5000") == (1000, 5000)
    for text in ("0", "1000,", "many"):
        with pytest.raises(ValueError, match=r"\d|literal"):
            _sizes(text)
