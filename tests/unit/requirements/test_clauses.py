"""Where a comparison begins to be met, and where it ends."""

from __future__ import annotations

import pytest

from contracts.messages import Capability
from contracts.requirements.terms import Clause, Term


@pytest.mark.parametrize(
    ("operator", "wanted", "met", "unmet"),
    [
        ("==", "3", ["3", "3.0"], ["2.9", "3.1"]),
        ("!=", "3", ["2.9", "3.1"], ["3"]),
        (">=", "3", ["3", "3.1"], ["2.9"]),
        ("<=", "3", ["2.9", "3"], ["3.1"]),
        (">", "3", ["3.1"], ["2.9", "3"]),
        ("<", "3", ["2.9"], ["3", "3.1"]),
        ("~=", "3.9", ["3.9", "3.10"], ["3.8", "4.0"]),
        ("==", "10.3.*", ["10.3", "10.3.1"], ["10.4", "1.3", "10", "10.30"]),
        ("!=", "10.3.*", ["10.4", "1.3", "10.30"], ["10.3", "10.3.1"]),
    ],
)
def test_each_operator_at_its_border(operator: str, wanted: str, met: list[str], unmet: list[str]) -> None:
    clause = Clause(operator=operator, version=wanted)
    assert [version for version in (*met, *unmet) if clause.allows(version)] == met


def test_of_two_series_of_one_name_the_longer_one_is_in_the_name() -> None:
    """Each order of the two has the same signature."""
    short, long = (Clause(operator="==", version=version) for version in ("10.*", "2.7.*"))
    assert str(Term.of("x", (short, long))) == str(Term.of("x", (long, short))) == "x2.7==10.*"


def test_a_name_with_a_series_is_met_by_its_own_name_only() -> None:
    """`python2.3` is a Python of that series, not whatever has the version."""
    term = Term.of("python2.3", ())
    assert term.met_by(Capability(name="python", version="2.3.5"))
    assert not term.met_by(Capability(name="ruby", version="2.3.5"))
    assert not term.met_by(Capability(name="python", version=None))
