"""Names on the broker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import topology
from contracts.digest import command_digest
from contracts.errors import BadName


@given(st.text(min_size=1))
def test_any_user_name_is_one_word_of_a_routing_key(user: str) -> None:
    """Dots, stars and hashes of a user's name cannot widen a topic permission."""
    word = topology.key_word(user)
    assert not set(".*#") & set(word)
    assert topology.claims_key(user, "m").count(".") == 2


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_user_names_never_share_a_word(one: str, other: str) -> None:
    """The escape is one to one."""
    assert (topology.key_word(one) == topology.key_word(other)) == (one == other)


def test_an_address_begins_with_its_user() -> None:
    """So a permission can pin an account to its own control queues."""
    address = topology.control_address("w.1", "i", "n")
    assert address == "agent.w:2e1.i.n"
    assert topology.address_user(address) == "w:2e1"


@pytest.mark.parametrize("name", ["a.b", "", "*", "a b", "é"])
def test_a_master_name_that_breaks_routing_is_refused_by_name(name: str) -> None:
    """The error names the thing and the remedy."""
    with pytest.raises(BadName, match="use only letters"):
        topology.claims_queue(name)


@pytest.mark.parametrize("address", ["agent.a.b", "x.a.b.c", "agent.a.b.c.d"])
def test_what_is_no_address_is_refused(address: str) -> None:
    """An address has a user, an instance and a nonce."""
    with pytest.raises(BadName, match="is not an agent's address"):
        topology.address_user(address)


def test_the_digest_ignores_the_order_of_arguments_and_sees_the_content() -> None:
    """A repeated command is known again; a changed file of a download is not."""
    one = command_digest("shell", {"a": 1, "b": [2]})
    assert one == command_digest("shell", {"b": [2], "a": 1})
    assert one != command_digest("shell", {"a": 1, "b": [3]})
    assert one != command_digest("shell", {"a": 1, "b": [2]}, content="ff")


@pytest.mark.parametrize(
    ("signature", "queue"),
    [
        ("gtk+python2.3", "cap.gtk+python2.3"),
        ("gtk>=3", "cap.gtk:ge:3"),
        ("python>=3.9,<3.13", "cap.python:ge:3.9,:lt:3.13"),
        ("clang|gcc", "cap.clang/gcc"),
        ("x==1:2!3", "cap.x:eq:1#c2@3"),
    ],
)
def test_a_queue_is_named_by_its_signature_in_letters_that_every_client_takes(signature: str, queue: str) -> None:
    """aio-pika's frames refuse a queue name with `>` or `|` in it: such names are spelled out."""
    assert topology.cap_queue(signature) == queue
    assert topology.queue_signature(queue) == signature


@given(st.text(alphabet="ab1.:@%!*|<>=~,+-_"))
def test_the_spelling_of_a_queue_can_be_read_back(text: str) -> None:
    """Whatever a signature may hold, the queue leads back to it, and aio-pika can declare it."""
    if "#" not in text:
        queue = topology.cap_queue(text)
        assert topology.queue_signature(queue) == text
