"""Names that are made of others' names fit where they go, or are refused with the limit."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from contracts import topology
from contracts.errors import BadName
from contracts.messages import Offer
from master_bridge.buildbot.builddirs import component

LONG = {"a" * 255, "é" * 127, ".hidden", "..a", "100%", "a b", "%(prop:x)s", "-rf", "a\nb", ".last-used", "slot-0"}
NO_COMPONENTS = ("a/b", "a_b/", "/a", "", ".", "..", "../a", "a" * 256, "é" * 128, "a/" * 200, "a\0b", "é/" * 99)


@pytest.mark.parametrize("name", sorted(LONG))
def test_what_may_be_a_folders_name_is_one(name: str) -> None:
    assert component(name) == name
    assert offer(name).builddir == name


@pytest.mark.parametrize("name", NO_COMPONENTS)
def test_what_may_not_is_made_one_that_no_other_has(name: str) -> None:
    """One component of at most 255 bytes that tells what it was; the message takes no other."""
    made = component(name)
    assert offer(made).builddir == made
    assert topology.is_component(made)
    assert "\ufffd" not in made
    with pytest.raises(ValidationError, match="builddir"):
        offer(name)


def test_no_two_builders_share_a_folder_by_their_names() -> None:
    """Also those that differ in what a folder's name cannot hold, or after its end."""
    names = [*LONG, *NO_COMPONENTS, "a_b", "a" * 257, "a" * 300, component("a/b")[:-1]]
    assert len({component(name) for name in names}) == len(set(names))


def test_a_masters_name_fits_into_routing_keys_of_every_user() -> None:
    """The longest of both; one more is refused with the limit."""
    user, master = "u" * topology.USER_MAX, "m" * topology.NAME_MAX
    assert topology.check_user(user) == user
    assert topology.check_name(master, "master") == master
    keys = (
        topology.events_key(user, master), topology.claims_key(user, master), topology.events_queue(master),
        topology.control_address(user, "0" * 36, "0" * 32),
    )  # fmt: skip
    assert max(map(len, keys)) == 255
    with pytest.raises(BadName, match=str(topology.NAME_MAX)):
        topology.check_name(master + "m", "master")
    with pytest.raises(BadName, match=str(topology.USER_MAX)):
        topology.check_user(user + "u")
    with pytest.raises(BadName, match="three bytes"):
        topology.check_user("@" * 41)


def offer(builddir: str) -> Offer:
    return Offer(
        offer="o", request="br-1", master="m", user="u", ticket="t", run=1, signature="any", kind="build",
        published=1.0, builddir=builddir,
    )  # fmt: skip
