"""A run of the benchmarks: what is kept when a case breaks or somebody interrupts, and what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import _sizes
from benchmarks.report.figures import Figure
from benchmarks.report.page import write_page
from benchmarks.report.results import Measured, Results, load, save
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

    def run(self, **cases: Case) -> Run:
        return Run(cases, self.path, lambda say: Recorder(self.stages), {"rounds": 1}, self.said.append)


def good(value: float) -> Case:
    def case(stage: Stage) -> None:
        stage.add("steps", "a `true` step", "ours", "ms", "less", [value])

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
    found = load(bench.path)
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
    assert [figure.values for figure in load(bench.path).figures] == [(1.0,), (2.0,), (3.0,)]


def test_the_remaining_time_is_that_of_the_last_run() -> None:
    def took(seconds: float | None) -> Measured:
        return Measured(about={}, figures=(), seconds=seconds)

    assert Results(cases={"a": took(None)}).remaining(["a"]) is None
    known = Results(cases={"a": took(10), "b": took(20), "c": took(None)})
    assert known.remaining(["a", "b"]) == 30
    assert known.remaining(["c", "new"]) == 30, "each as the mean"


@pytest.mark.parametrize(("ours", "verdict"), [(34.0, "— reached"), (36.0, "— not reached")])
def test_the_page_explains_itself(tmp_path: Path, ours: float, verdict: str) -> None:
    def figure(peer: str, value: float) -> Figure:
        return Figure(case="steps", what="a `true` step", peer=peer, unit="ms", better="less", values=(value,))

    about = {"when": "now", "cores": 2, "cpu": "<cpu>", "load_before": 0.5, "rounds": 1}
    case = Measured(about=about, figures=(figure("PB", 100), figure("ours", ours)), seconds=5)
    results = Results(cases={"steps": case}, broken={"log": "<why>"})
    save(tmp_path / "newest.json", results)
    text = write_page(load(tmp_path / "newest.json"), tmp_path, []).read_text()
    for words in ("(ms; shorter is better)", f"at most 0.35 times PB {verdict}", "&lt;cpu&gt;", "&lt;why&gt;", "<svg"):
        assert words in text
    assert "http" not in text, "it needs nothing else"


def test_sizes_of_fleets_are_numbers_above_zero() -> None:
    assert _sizes("1000,5000") == (1000, 5000)
    for text in ("0", "1000,", "many"):
        with pytest.raises(ValueError, match=r"\d|literal"):
            _sizes(text)
