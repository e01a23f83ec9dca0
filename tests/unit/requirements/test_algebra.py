"""Laws of the algebra of requirements, for generated sets."""

from __future__ import annotations

import random
import re

from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.errors import BadRequirement
from contracts.messages import Capability
from contracts.requirements.sets import ANY, QUEUE_NAME_MAX, Requirements, plain_signatures
from contracts.requirements.versions import compare
from contracts.topology import cap_queue, queue_signature

#: requirements, each of alternatives, each of a name and its comparisons
Asked = list[list[tuple[str, list[str]]]]

names = st.sampled_from(
    ["gtk", "python", "g++", "gtk+-3.0", "bzip2", "x264", "os", "wx", "node.js", "libxml++-2.6", "gtk+"]
)
versions = st.sampled_from(
    ["1", "1.0", "2.3", "2.3.4", "2.3-rc1", "1.1.1w", "1.1.1a", "3.11.2", "2024-01-15", "8GiB", "512MB", "bookworm",
     "linux", "2.5.1%2bcu121", "1:2.3", "x86_64"]
)  # fmt: skip
series = st.sampled_from(["==2.3.*", "==3.*", "!=3.11.*", "==1.1.*", "~=2.3", "~=3.11.2"])
clauses = st.lists(
    st.builds(str.__add__, st.sampled_from(["==", "!=", ">=", "<=", ">", "<"]), versions) | series, max_size=3
)
numbers = st.sampled_from(["", "", "2", "2.3", "3.11"])
terms = st.builds(
    lambda name, digits, found: (name + digits if not name[-1].isdigit() else name, found), names, numbers, clauses
)
requirements = st.lists(terms, min_size=1, max_size=3)
sets = st.lists(requirements, max_size=4)
capabilities = st.lists(
    st.builds(Capability, name=names, version=st.none() | versions.map(lambda text: text.replace("%2b", "+"))),
    max_size=6,
)


def spell(texts: Asked, seed: int = 0, *, shuffle: bool = False) -> list[str]:
    """The set as a person might write it: with `shuffle`, in some other order, spacing and case, with repetitions."""
    chance = random.Random(seed)

    def space() -> str:
        return chance.choice(["", " ", "  ", "\t"]) if shuffle else ""

    written = []
    for alternatives in texts:
        parts = []
        for name, found in alternatives:
            found = list(found)
            if shuffle:
                chance.shuffle(found)
                name = chance.choice([name, name.upper(), name.replace("-", "_")])
            gap = space()
            parts.append(name + gap + f"{space()},{space()}".join(found))
        if shuffle:
            chance.shuffle(parts)
        written.append(f"{space()}|{space()}".join(parts))
    if shuffle:
        written += chance.sample(written, chance.randint(0, len(written)))
        chance.shuffle(written)
    return written


def of(texts: list[str]) -> Requirements:
    try:
        return Requirements.of(texts)
    except BadRequirement as error:
        assume("at most" not in str(error))  # a set too long for a queue is refused, that is no matter here
        raise


@given(sets, st.integers())
def test_order_spacing_case_and_repetition_do_not_count(texts: Asked, seed: int) -> None:
    """The same set is the same queue."""
    assert of(spell(texts)).signature == of(spell(texts, seed, shuffle=True)).signature


@given(sets)
def test_a_signature_can_be_read_back(texts: Asked) -> None:
    """Reversible, idempotent, and fit for a queue's name; a signature is also a text that a person may write."""
    first = of(spell(texts))
    again = Requirements.from_signature(first.signature)
    assert again == first
    assert again.signature == first.signature
    assert 1 <= len(cap_queue(first.signature).encode()) <= QUEUE_NAME_MAX
    assert first.signature.isprintable()
    assert " " not in first.signature
    assert of([str(item) for item in first.items]) == first


@given(sets)
def test_a_queue_can_be_read_back(texts: Asked) -> None:
    """Its name holds only what client libraries let pass, fits, and leads back to the set."""
    signature = of(spell(texts)).signature
    queue = cap_queue(signature)
    assert re.fullmatch(r"[A-Za-z0-9_.:@#,/+-]{1,255}", queue)
    assert queue_signature(queue) == signature


@given(sets, sets)
def test_joining_sets_is_joining_their_texts(a: Asked, b: Asked) -> None:
    """Normalising first or last is the same, so nested configuration cannot change a queue."""
    assert of(items(a) + items(b)) == of(spell(a) + spell(b))


def items(texts: Asked) -> list[str]:
    return [str(item) for item in of(spell(texts)).items]


@given(sets, capabilities)
def test_nothing_is_missed_exactly_when_the_set_is_met(texts: Asked, machine: list[Capability]) -> None:
    """What people are told and what decides are one."""
    found = of(spell(texts))
    assert found.satisfied_by(machine) == (found.misses(machine) == ())


@given(sets, capabilities, st.integers())
def test_the_order_of_capabilities_does_not_count(texts: Asked, machine: list[Capability], seed: int) -> None:
    """An agent announces a set, not a list."""
    shuffled = random.Random(seed).sample(machine, len(machine))
    found = of(spell(texts))
    assert found.satisfied_by(machine) == found.satisfied_by(shuffled + machine)
    assert found.misses(machine) == found.misses(shuffled + machine)


@given(sets, sets, capabilities)
def test_asking_for_more_never_finds_more(a: Asked, b: Asked, machine: list[Capability]) -> None:
    """What meets both sets meets each; every machine meets the empty set."""
    if of(spell(a) + spell(b)).satisfied_by(machine):
        assert of(spell(a)).satisfied_by(machine)
        assert of(spell(b)).satisfied_by(machine)
    assert Requirements.from_signature(ANY).satisfied_by(machine)


@given(sets, capabilities, capabilities)
def test_having_more_never_loses_a_queue(texts: Asked, machine: list[Capability], more: list[Capability]) -> None:
    """Installing something takes an agent off no queue."""
    if of(spell(texts)).satisfied_by(machine):
        assert of(spell(texts)).satisfied_by(machine + more)


@given(versions, versions)
def test_matching_never_contradicts_the_order(have: str, want: str) -> None:
    """Exactly one of <, == and > is met, the others follow from it, and it is the one that the order says."""
    machine = [Capability(name="x-y", version=have.replace("%2b", "+"))]
    met = {sign: of([f"x-y{sign}{want}"]).satisfied_by(machine) for sign in ("<", "==", ">", "<=", "!=", ">=")}
    assert met["<"] + met["=="] + met[">"] == 1
    assert met["<="] == (met["<"] or met["=="])
    assert met[">="] == (met[">"] or met["=="])
    assert met["!="] == (not met["=="])
    order = compare(have.replace("%2b", "+"), want.replace("%2b", "+"))
    assert order == met[">"] - met["<"]


@given(capabilities)
def test_an_agent_meets_every_plain_queue_that_it_guesses(machine: list[Capability]) -> None:
    """The queues consumed without a master are queues the agent qualifies for."""
    for signature in plain_signatures(machine):
        assert Requirements.from_signature(signature).satisfied_by(machine)


@given(st.text(max_size=40))
def test_any_text_is_a_set_or_an_error_that_points_into_it(text: str) -> None:
    """Whatever stands in master.cfg: an answer, or a caret under one of its characters (or just behind the last)."""
    try:
        found = Requirements.of([text])
    except BadRequirement as error:
        lines = str(error).split("\n")
        carets = [line for line in lines if line.strip() == "^"]
        assert carets
        assert len(carets[0]) - 3 <= len(text)
    else:
        assert Requirements.from_signature(found.signature) == found
