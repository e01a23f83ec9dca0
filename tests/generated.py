"""Generated tests: fixed examples with `make test`, fresh ones and many more with `make test-long`.

The variable FRESH_SEED chooses. A failure says which number repeats it.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

VARIABLE = "FRESH_SEED"
#: How many times as many examples with a fresh seed.
MORE = 20


def fresh_seed() -> int | None:
    """None: the examples are the same in each run."""
    text = os.environ.get(VARIABLE, "")
    return int(text) if text else None


def examples(usual: int) -> int:
    """How many, where a run with fixed ones has `usual`."""
    return usual if fresh_seed() is None else usual * MORE


def seeds(usual: int) -> range:
    """Seeds for plays and schedules, as many as `examples`."""
    first = fresh_seed() or 0
    return range(first, first + examples(usual))


def configure(config: pytest.Config) -> None:
    """Hypothesis' settings; a test's own `settings(max_examples=examples(…))` keeps them otherwise."""
    # how long examples take says how busy the machine is: neither a slow one nor slow making of them is a failure
    patient = settings(database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("fixed", patient, derandomize=True)
    settings.register_profile("fresh", patient, derandomize=False, max_examples=examples(100), print_blob=True)
    seed = fresh_seed()
    settings.load_profile("fixed" if seed is None else "fresh")
    if seed is not None:
        config.option.hypothesis_seed = seed


def mark(items: list[pytest.Item]) -> None:
    """Hypothesis' tests are `generated`; tests with seeds of their own say so themselves."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("generated")


def explain(item: pytest.Item, report: pytest.TestReport) -> None:
    """Under a failure: how to have it again."""
    seed = fresh_seed()
    if report.failed and seed is not None and item.get_closest_marker("generated") is not None:
        report.sections.append(("generated examples", f"again: {VARIABLE}={seed} python -m pytest {item.nodeid!r}"))
