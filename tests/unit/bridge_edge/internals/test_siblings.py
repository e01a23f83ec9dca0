"""Whether a reconfig says anything new to a service: as Buildbot compares it."""

from __future__ import annotations

from typing import Any

import pytest
from buildbot.util import ComparableMixin
from buildbot.util.service import BuildbotService

from master_bridge.buildbot.internals.siblings import adopt, alike


class Coloured(BuildbotService):
    """As a class of master.cfg's: names an attribute that it has when it is configured, and not before."""

    compare_attrs = ("colour",)

    def checkConfig(self, *args: Any, **kwargs: Any) -> None: ...


def service(*, configured: bool = True, **attributes: Any) -> Coloured:
    made = Coloured("s", 1, name="s", shade=["light"])
    made.configured = configured
    for attribute, value in attributes.items():
        setattr(made, attribute, value)
    return made


@pytest.mark.parametrize(
    ("ours", "next_one"),
    [({"colour": "red"}, {}), ({}, {"colour": "red"}), ({}, {}), *2 * [({"colour": "red"}, {"colour": "red"})]],
    ids=str,
)
def test_it_is_compared_as_buildbot_compares_it(ours: dict[str, Any], next_one: dict[str, Any]) -> None:
    one, other = service(**ours), service(configured=False, **next_one)
    assert alike(one, other) is ComparableMixin.isEquivalent(other, one) is (ours == next_one)


def test_what_is_not_configured_yet_or_of_another_class_is_new() -> None:
    class Other(Coloured):
        pass

    assert alike(service(), service())
    assert not alike(service(configured=False), service())
    assert not alike(service(), Other("s", 1, name="s", shade=["light"]))


def test_it_is_compared_with_what_it_was_configured_as_last() -> None:
    one, other = service(), service()
    other._config_args = ("s", 2)
    assert not alike(one, other)
    adopt(one, other)
    assert alike(one, other)
    assert not alike(one, service())
