"""The total order over version texts, and that PEP 440 is kept where it applies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from contracts.requirements.versions import (
    compare,
    compatible_series,
    in_series,
    parse_version,
    series_of,
    sort_key,
    spelled,
)

pep440 = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "1!"]),
    st.lists(st.integers(0, 30), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts))),
    st.sampled_from(["", "a1", "b2", "rc1", "rc2", "-alpha3"]),
    st.sampled_from(["", ".post1", ".post2", "-3"]),
    st.sampled_from(["", ".dev1", ".dev2"]),
)
odd = st.sampled_from(
    [
        "1.1.1", "1.1.1a", "1.1.1w", "1.0.2zg", "2.3-rc1", "2.3", "2.3-nightly.4", "9.2p1", "9.2p2", "2.39.2.windows.1",
        "2024-01-15", "2024-02", "2024a", "2024e", "1.8.0_392", "17.0.9+9", "8GiB", "8192MiB", "8GB", "16G", "512kB",
        "bookworm", "linux", "x86_64", "x86-64", "jdk8u392", "v1.2", "v1.1.1w", "1:2.3-4", "2.5.1+cu121", "0", "1.0",
        "1.0.0", "18.0.0-nightly20240101", "1.80.0-nightly", "3.0.0-beta1-x",
    ]
)  # fmt: skip
anything = (
    pep440
    | odd
    | st.text(max_size=30)
    | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,2}){0,3}[a-z0-9.+_~-]{0,8}", fullmatch=True)
)


@given(pep440, pep440)
def test_pep440_versions_are_ordered_as_packaging_orders_them(a: str, b: str) -> None:
    """Where both texts are PEP 440, the library decides."""
    left, right = Version(a), Version(b)
    assert (sort_key(a) < sort_key(b)) == (left < right)
    assert (sort_key(a) == sort_key(b)) == (left == right)


@given(anything, anything, anything)
def test_the_order_is_total_and_transitive(a: str, b: str, c: str) -> None:
    """Any texts at all: exactly one of <, =, > holds, and no circle is possible."""
    low, middle, high = sorted((a, b, c), key=sort_key)
    assert sort_key(low) <= sort_key(middle) <= sort_key(high)
    assert not sort_key(high) < sort_key(low)
    assert (sort_key(a) < sort_key(b)) + (sort_key(a) == sort_key(b)) + (sort_key(a) > sort_key(b)) == 1


@given(anything, anything)
def test_comparing_never_contradicts_the_order(a: str, b: str) -> None:
    """`compare` may call two versions equal that differ by a label; it never turns the order round."""
    if sort_key(a) < sort_key(b):
        assert compare(a, b) <= 0
    if sort_key(a) == sort_key(b):
        assert compare(a, b) == 0


@given(anything)
def test_spelling_keeps_the_version_and_is_settled_at_once(text: str) -> None:
    """The form in a signature is the same version, and its own form."""
    text = text.strip()
    assert sort_key(spelled(text)) == sort_key(text)
    assert spelled(spelled(text)) == spelled(text)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.1.1", "1.1.1a"),
        ("1.1.1a", "1.1.1w"),
        ("1.1.1w", "1.1.2"),
        ("1.1.1w", "3.0.2"),
        ("2.3-rc1", "2.3"),
        ("2.3-rc1", "2.3-rc2"),
        ("2.3-nightly.4", "2.3a1"),
        ("2.9", "2.10"),
        ("9.2p1", "9.2p2"),
        ("9.2", "9.2p1"),
        ("2024-01-15", "2024-02-01"),
        ("2024-01-15", "2024.2"),
        ("2023c", "2024a"),
        ("1.8.0_381", "1.8.0_392"),
        ("4GiB", "8GiB"),
        ("8GB", "8GiB"),
        ("976KiB", "1MB"),
        ("1MB", "977KiB"),
        ("900MiB", "1GiB"),
        ("bookworm", "0.1"),
        ("3.3", "3.3a"),
        ("18.0.0-snapshot", "18.0.0"),
        ("18.0.0-snapshot", "18.0.0-snapshot-x"),
        ("9.2p1", "9.2.post1"),
        ("1.8.0_x", "1.8.0_0"),
        ("2.3.dev1", "2.3-nightly"),
        ("3.0.0b1", "3.0.0-milestone2"),
        ("3.0.0-beta-x", "3.0.0b1"),
        ("3.0.0b1", "3.0.0-beta1-x"),
        ("3.0.0-beta1-x", "3.0.0b2"),
    ],
)
def test_what_is_older(older: str, newer: str) -> None:
    """The examples of docs/requirements.md."""
    assert compare(older, newer) == -1
    assert compare(newer, older) == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [("1.0", "1.0.0"), ("v1.2", "1.2"), ("2.3-rc1", "2.3rc1"), ("8GiB", "8192MiB"), ("8 GiB", "8Gi"),
     ("Linux", "linux"), ("x86_64", "x86-64"), ("2024-01-15", "2024.1.15"), ("2.5.1+cu121", "2.5.1"),
     ("3.0.0-milestone", "3.0.0b0"), ("1!2.3+Deb", "1:2.3+deb"), ("1.0001kB", "1kB"),
     ("1.2.0", "1.2"), ("9.2p1+deb12", "9.2p1"), ("1.5GiB", "1536MiB"),
     ("1.25GiB", "1280MiB")],
)  # fmt: skip
def test_what_is_the_same(a: str, b: str) -> None:
    """Spellings of one version; a label in the version found does not count where none is asked for."""
    assert compare(a, b) == 0


def test_a_label_counts_when_it_is_asked_for() -> None:
    """2.5.1 is not the 2.5.1+cu121 that a column wants."""
    assert compare("2.5.1", "2.5.1+cu121") == -1
    assert compare("2.5.1+cu121", "2.5.1+cu121") == 0


def test_a_label_is_in_the_order_also_of_what_has_its_own_way_of_counting() -> None:
    """After the same version without one."""
    assert sort_key("9.2p1") < sort_key("9.2p1+deb11") < sort_key("9.2p1+deb12")


def test_a_series_is_made_of_whole_numbers() -> None:
    """2.30 is not of the series 2.3, and 2 is of 2.0."""
    assert in_series("2.3", "2.3")
    assert in_series("2.3.7", "2.3")
    assert in_series("2.3-rc1", "2.3")
    assert in_series("1.1.1w", "1.1")
    assert in_series("2", "2.0")
    assert not in_series("2.30", "2.3")
    assert not in_series("bookworm", "2.3")
    assert not in_series("bookworm", "0")
    assert not in_series("2.3", "bookworm")
    assert not in_series("1:2.3", "2.3")


def test_the_series_of_a_version() -> None:
    """Plain queues are named by series; what has none gets none."""
    assert series_of("3.11.2", 2) == "3.11"
    assert series_of("3.11.2", 1) == "3"
    assert series_of("3.11", 2) == "3.11"
    assert series_of("17", 2) is None
    assert series_of("bookworm", 1) is None


def test_the_series_that_a_compatible_version_stays_in() -> None:
    """All of its numbers but the last; what has one number has none."""
    assert compatible_series("3.9") == "3"
    assert compatible_series("1.1.1w") == "1.1"
    assert compatible_series("3") is None


@given(st.text(max_size=200))
def test_every_text_can_be_read(text: str) -> None:
    """A probe may print anything."""
    parse_version(text)
