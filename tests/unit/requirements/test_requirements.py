"""Requirements: what they mean, their normal form, and what is said when one is not met."""

from __future__ import annotations

import pytest

from contracts.errors import BadRequirement
from contracts.messages import Capability
from contracts.requirements import sets
from contracts.requirements.grammar import TEXT_MAX, TextReader
from contracts.requirements.sets import QUEUE_NAME_MAX, Requirements, parse, plain_signatures
from contracts.topology import cap_queue


def has(*texts: str) -> tuple[Capability, ...]:
    return tuple(
        Capability(name=name, version=version or None) for name, _, version in (text.partition(" ") for text in texts)
    )


MACHINE = has(
    "os linux",
    "distribution debian",
    "mem 15.6GiB",
    "python 2.7.18",
    "python 3.11.2",
    "gtk 3.24.38",
    "openssl 1.1.1w",
    "gcc 12.2.0",
    "bzip2 1.0.8",
    "x264 0.164.3095",
    "g++ 12.2.0",
    "git",
)


@pytest.mark.parametrize(
    "text",
    [
        "gtk", "gtk>=3", "GTK >= 3", "python2.7", "python3", "python3.11", "python==2.7.*", "python~=3.9", "os==linux",
        "python>=3.9,<3.13", "openssl!=1.1.1", "openssl==1.1.1w", "openssl>1.1.1,<1.1.2", "mem>=8GiB", "mem>=8GiB,<16G",
        "gcc|clang", "clang|gcc>=12", "bzip2", "x264", "x264>=0.160", "bzip2==1.0.*", "g++", "g++12", "g++>=10", "git",
        "python!=3.12.*", "any", "os==Linux", "distribution==debian gtk", "python2.7 python3.11", "gtk+python2.7",
    ],
)  # fmt: skip
def test_met(text: str) -> None:
    """The machine of this test qualifies, and nothing is said to be missing."""
    requirements = Requirements.of([text])
    assert requirements.satisfied_by(MACHINE)
    assert requirements.misses(MACHINE) == ()


@pytest.mark.parametrize(
    ("text", "miss"),
    [
        ("gtk>=4", "has gtk 3.24.38, needs gtk>=4"),
        ("wx", "lacks wx"),
        ("wx>=3", "lacks wx"),
        ("python3.12", "has python 2.7.18 and 3.11.2, needs python3.12"),
        ("python>=3.9,<3.11", "has python 2.7.18 and 3.11.2, needs python>=3.9,<3.11"),
        ("git>=2.30", "has git of unknown version, needs git>=2.30"),
        ("os==windows", "has os linux, needs os==windows"),
        ("openssl!=1.1.1w", "has openssl 1.1.1w, needs openssl!=1.1.1w"),
        ("mem>=32GiB", "has mem 15.6GiB, needs mem>=32GiB"),
        ("clang|tcc", "lacks clang|tcc"),
        ("clang|gcc>=13", "has gcc 12.2.0, needs clang|gcc>=13"),
        ("gcc>=13|gtk>=4", "has gcc 12.2.0, gtk 3.24.38, needs gcc>=13|gtk>=4"),
        ("x265", "lacks x265"),
        ("python~=3.12", "has python 2.7.18 and 3.11.2, needs python~=3.12"),
    ],
)
def test_not_met_and_why(text: str, miss: str) -> None:
    """The nearest thing the machine has is named, with its version and what is needed."""
    requirements = Requirements.of([text])
    assert not requirements.satisfied_by(MACHINE)
    assert requirements.misses(MACHINE) == (miss,)


def test_a_version_that_is_not_known_is_named_first() -> None:
    """Whatever the versions beside it are."""
    assert Requirements.of(["git>=2.30"]).misses(has("git 2.20", "git")) == (
        "has git of unknown version and 2.20, needs git>=2.30",
    )


def test_one_version_must_meet_all_that_is_asked_of_a_name() -> None:
    """2.7 and 3.14 together are no python between 3.9 and 3.13, however the two bounds are given."""
    old_and_new = has("python 2.7.18", "python 3.14.0")
    for texts in (["python>=3.9,<3.13"], ["python>=3.9", "python<3.13"], ["python<3.13 python>=3.9"]):
        requirements = Requirements.of(texts)
        assert requirements.signature == "python>=3.9,<3.13"
        assert not requirements.satisfied_by(old_and_new)


def test_a_bound_on_the_name_also_holds_for_its_series() -> None:
    """`python3` beside `python>=3.12` is not met by a 3.11 with a 4.0 next to it."""
    requirements = Requirements.of(["python3", "python>=3.12"])
    assert not requirements.satisfied_by(has("python 3.11.2", "python 4.0"))
    assert requirements.satisfied_by(has("python 3.12.1"))
    assert requirements.misses(has("python 3.11.2")) == (
        "has python 3.11.2, needs python3>=3.12",
        "has python 3.11.2, needs python>=3.12",
    )


def test_a_bound_on_the_name_says_nothing_of_an_alternative_that_is_a_series() -> None:
    """Each of the two is met by a version of its own."""
    requirements = Requirements.of(["python3|pypy", "python>=3.12"])
    assert requirements.satisfied_by(has("python 3.11.2", "python 4.0"))


def test_two_series_ask_for_two_versions() -> None:
    """A column that tests with both interpreters needs an agent that has both."""
    both = Requirements.of(["python2.7", "python3.11"])
    assert both.satisfied_by(MACHINE)
    assert not both.satisfied_by(has("python 3.11.2"))


def test_a_name_may_end_in_digits() -> None:
    """`bzip2` is a name or a series: either reading is enough, so no list of such names is needed."""
    assert Requirements.of(["bzip2"]).satisfied_by(has("bzip2"))
    assert Requirements.of(["python2.7"]).satisfied_by(has("python2.7"))
    assert Requirements.of(["gtk+-3.0"]).satisfied_by(has("gtk+-3.0 3.24"))
    assert not Requirements.of(["gtk+-3.0"]).satisfied_by(has("gtk+- 3.0"))
    assert Requirements.of(["x264", "x265>=3"]).satisfied_by(has("x264 0.164", "x265 3.5"))


@pytest.mark.parametrize(
    ("texts", "queue"),
    [
        (["gtk"], "cap.gtk"),
        (["python2.3"], "cap.python2.3"),
        (["python == 2.3.*"], "cap.python2.3"),
        (["python2.3", "gtk"], "cap.gtk+python2.3"),
        (["gtk+python2.3"], "cap.gtk+python2.3"),
        (["  gtk ;python2.3;"], "cap.gtk+python2.3"),
        (["Python2.3, GTK", "gtk"], "cap.gtk+python2.3"),
        (["python<3.13 , >= 3.9"], "cap.python:ge:3.9,:lt:3.13"),
        (["gcc | clang"], "cap.clang/gcc"),
        (["make", "g++"], "cap.g+++make"),
        (["gtk+-3.0", "g++"], "cap.g+++gtk+-3.0"),
        (["torch==2.5.1%2Bcu121"], "cap.torch:eq:2.5.1#p2bcu121"),
        (["mem>=8192mib"], "cap.mem:ge:8192MiB"),
        (["tool>=3; kb"], "cap.kb+tool:ge:3"),
        (["docker_compose"], "cap.docker-compose"),
        (["any", "gtk"], "cap.gtk"),
        (["tool==9X"], "cap.tool:eq:9x"),
        ([], "cap.any"),
    ],
)
def test_the_queue_of_a_set(texts: list[str], queue: str) -> None:
    """Order, spacing, case and repetition do not count; plain sets have plain names; names with '+' stay readable."""
    requirements = Requirements.of(texts)
    assert cap_queue(requirements.signature) == queue
    assert Requirements.from_signature(requirements.signature) == requirements


@pytest.mark.parametrize(
    ("text", "character", "problem"),
    [
        ("gtk>=", 5, "a version was expected after '>=', here is the end"),
        ("gtk>=>3", 5, "a version was expected after '>=', here is '>'"),
        ("X=3", 1, "'=' alone"),
        ("python 2.7", 7, "a name was expected, here is '2'"),
        ("gtk=3", 3, "'=' alone"),
        ("gtk>==3", 5, "'>==' is no comparison"),
        ("", 0, "it is empty"),
        ("x~=3", 1, "'~=' needs a version of at least two numbers"),
        ("x~=bookworm", 1, "'~=' needs a version of at least two numbers"),
        ("torch==2.5.1+cu121", 12, "part of the version"),
        ("gtk==3.*.1", 8, "'.' does not belong here"),
        ("gtk>=3.*", 7, "a series cannot follow '>='"),
        ("gtk==1.1.1w.*", 5, "a series is made of numbers"),
        ("gtk.", 3, "a name cannot end here"),
        ("|gcc", 0, "a name was expected, here is '|'"),
        ("gcc|", 4, "a name was expected, here is the end"),
        ("gcc|any", 0, "'any' cannot be an alternative"),
        ("any>=3", 0, "has no version"),
        ("gcc&clang", 3, "'&' does not belong here"),
        ("gtk>=3.", 6, "a version cannot end here"),
        ("gtk\t>=", 6, "a version was expected"),
        ("gtk*", 3, "'*' does not belong here"),
        ("mem>=8 GiB", 6, "a size has no space in it"),
        ("mem>=8 G wx", 6, "a size has no space in it"),
        ("gtk>=3 +", 8, "a name was expected, here is the end"),
    ],
)
def test_a_bad_requirement_points_at_the_character(text: str, character: int, problem: str) -> None:
    """Three lines and more: what is wrong, the text with a caret under the character, and the remedy."""
    with pytest.raises(BadRequirement) as caught:
        Requirements.of([text])
    first, shown, caret, *remedy = str(caught.value).split("\n")
    assert problem in first
    assert shown == "  " + text.replace("\t", " ")
    assert caret == "  " + " " * character + "^"
    assert remedy
    assert remedy[0]


def test_who_writes_a_series_at_the_wrong_place_learns_where_one_is_written() -> None:
    with pytest.raises(BadRequirement, match=r"a series is written ==2\.3\.\*"):
        Requirements.of(["gtk*"])


def test_one_text_is_as_good_as_a_list_of_one() -> None:
    """It is not taken for a list of characters."""
    assert Requirements.of("gtk>=3 wx") == Requirements.of(["gtk>=3 wx"])


def test_parse_reads_one_requirement() -> None:
    """A second one is an error that points at its beginning."""
    assert str(parse("python <3.13, >=3.9")) == "python>=3.9,<3.13"
    with pytest.raises(BadRequirement, match=r"second requirement begins here\n  gtk wx qt\n {6}\^"):
        parse("gtk wx qt")


@pytest.mark.parametrize(
    "text", ["gtk>=" + "9" * 5_000, "gtk==" + "1." * 4_000 + "*", "a" + "9" * 5_000, "(" * 100_000]
)
def test_a_text_that_no_number_can_be_read_from_is_an_error_like_any_other(text: str) -> None:
    """Python reads no number of more than 4,300 digits; the text may be another master's signature."""
    for read in (parse, Requirements.from_signature):
        with pytest.raises(BadRequirement, match="at most 4000") as caught:
            read(text)
        assert len(str(caught.value)) < 300


def test_a_set_too_long_for_a_queue_is_refused() -> None:
    """The broker takes at most 255 bytes; the remedy is a capability that stands for the set."""
    with pytest.raises(BadRequirement, match="at most 244"):
        Requirements.of([f"library-number-{n}-x" for n in range(20)])
    fits = Requirements.of([f"library-{n}-x" for n in range(18)])
    assert len(cap_queue(fits.signature).encode()) <= QUEUE_NAME_MAX


@pytest.mark.parametrize("signature", ["python2.3+gtk", "gtk ", "GTK", "python==2.3.*", "gtk+gtk", ""])
def test_a_queue_not_named_by_us_is_refused(signature: str) -> None:
    """An agent must not consume one queue while it announces another."""
    with pytest.raises(BadRequirement):
        Requirements.from_signature(signature)


def test_plain_queues_are_known_without_a_master() -> None:
    """Each name, its series, and the queue of those who ask for nothing."""
    assert plain_signatures(has("python 3.11.2", "x264 0.164", "os linux", "gtk+-3.0 3.24", "git")) == (
        "any", "git", "gtk+-3.0", "os", "python", "python3", "python3.11", "x264",
    )  # fmt: skip


def test_a_name_that_no_requirement_can_have_has_no_queue() -> None:
    """The names beside it have theirs."""
    assert plain_signatures(has("gtk. 3", "c# 7", "git")) == ("any", "git")


def test_the_names_that_decide() -> None:
    """What has to be looked at again before a claim."""
    assert Requirements.of(["gcc|clang", "python2.7", "x264"]).names == (
        "clang",
        "gcc",
        "python",
        "python2.7",
        "x",
        "x264",
    )


def test_what_a_thousand_places_ask_for_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered is bounded, in number and in length; a mistake is told each time."""
    read: list[str] = []

    def counted(text: str) -> TextReader:
        read.append(text)
        return TextReader(text)

    monkeypatch.setattr(sets, "TextReader", counted)
    once = [Requirements.of(["read-once>=3", "gtk"]) for _ in range(1000)]
    assert read == ["read-once>=3", "gtk"]
    assert len({item.signature for item in once}) == 1
    long = [f"long>={' ' * 2000}3"]
    for _ in range(2):
        read.clear()
        assert Requirements.of(long).signature == Requirements.of(["long>=3"]).signature
        assert long[0] in read
    for _ in range(2):
        with pytest.raises(BadRequirement):
            Requirements.of(["gtk>="])
    assert sets._read.cache_info().maxsize is not None


def test_what_is_long_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length is that of all texts together; one text is no list of characters."""

    def read(asked: tuple[str, ...]) -> tuple[str, ...]:
        return ("remembered", *asked)

    read.__wrapped__ = lambda asked: ("read", *asked)  # type: ignore[attr-defined]
    monkeypatch.setattr(sets, "_read", read)
    for last, how in (("y" * 24, "remembered"), ("y" * 25, "read")):
        assert Requirements.of(["x" * 1000, last]) == (how, "x" * 1000, last)
    assert Requirements.of("gtk>=3") == ("remembered", "gtk>=3")


def test_a_text_is_read_up_to_its_length() -> None:
    TextReader("x" * TEXT_MAX)
    with pytest.raises(BadRequirement, match=f"at most {TEXT_MAX} can be read"):
        TextReader("x" * (TEXT_MAX + 1))


def test_a_series_that_just_fits_into_a_queues_name_is_guessed() -> None:
    """And no longer one."""
    name, room = "x" * 128, QUEUE_NAME_MAX - len("cap.") - 128
    assert plain_signatures(has(f"{name} {'7' * room}")) == ("any", name, name + "7" * room)
    assert plain_signatures(has(f"{name} {'7' * (room + 1)}")) == ("any", name)
