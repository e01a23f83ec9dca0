"""`master-bridge move`: what is checked before any agent is told anything; the settings of a master at two places."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.messages import Status
from contracts.trust import hpke
from contracts.trust.moving import open_move
from contracts.vectors.generate import MESSAGES
from master_bridge.buildbot.broker_settings import wrong_settings
from master_bridge.link.errors import BadSettings
from master_bridge.link.settings import LinkSettings
from master_bridge.operating.errors import OperatingError
from master_bridge.operating.moving import check_masters, destinations, tell_to_move

PRIVATE = bytes(range(32))
KEY = hpke.public_of(PRIVATE).hex()
PEM = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"


def test_each_account_has_its_own_destination(tmp_path: Path) -> None:
    """Of a whole configuration, or of a file with the URL alone; authorities as text, or beside the file."""
    (tmp_path / "ca.pem").write_text(PEM)
    (tmp_path / "a1.toml").write_text(f'tls_ca = """{PEM}"""\namqp_url = "amqps://a1:one@h/"\n')
    (tmp_path / "a2.toml").write_text('tls_ca = "ca.pem"\nurl = "amqps://a2:two@h/"\n')
    (tmp_path / "a3.url").write_text("amp://a3:three@127.0.0.1\n")
    found = destinations(tmp_path, ["a1", "a2", "a3", "a1"])
    assert {name: each.url.get_secret_value() for name, each in found.items()} == {
        "a1": "amqps://a1:one@h/", "a2": "amqps://a2:two@h/", "a3": "amp://a3:three@127.0.0.1",
    }  # fmt: skip
    assert [each.tls_ca for each in found.values()] == [PEM, PEM, None]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a1.toml", "url = [", "is not TOML"),
        ("a1.toml", "name = 'a1'", "a1.toml: "),
        ("a1.toml", "url = 'http://a1:s3cret@h/'", "a1.toml: "),
        ("a1.url", "amqp://a1:s3cret@h/%zz", "a1.url: "),
        ("a1.url", "amqp://other:s3cret@h/", "sessions belong to an account"),
        ("a1.toml", "url = 'amqps://a1:s3cret@h/'\ntls_ca = 'gone.pem'", "gone.pem: No such file"),
        ("a2.toml", "", "has no file for a1: `master-bridge enroll NAME"),
    ],
)
def test_a_file_that_will_not_do_is_named_without_its_secret(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(OperatingError) as raised:
        destinations(tmp_path, ["a1"])
    assert says in str(raised.value)
    assert "s3cret" not in str(raised.value)


def survey(*masters: str) -> Any:
    return SimpleNamespace(masters=set(masters))


def test_masters_must_be_at_both_places() -> None:
    """Several masters of a broker do not fit into one of them, and agents of a master that is not there find nobody."""
    check_masters(survey("m1"), survey("m1", "m2"))
    with pytest.raises(OperatingError, match=r"not heard at the new place: m2"):
        check_masters(survey("m1", "m2"), survey("m1"))
    with pytest.raises(OperatingError, match="no master is heard here"):
        check_masters(survey(), survey("m1"))


def test_an_agent_that_cannot_open_it_is_told_nothing(tmp_path: Path) -> None:
    """What the others are told only they can read."""
    told: dict[str, Any] = {}

    class Link:
        def tell(self, key: str, message: Any) -> bool:
            told[key] = message
            return not key.endswith("gone")

    status = MESSAGES["status"]
    assert isinstance(status, Status)
    agents = [
        status.model_copy(update={"key": key, "address": f"agent.a1.i{number}.{nonce}", "instance": f"i{number}"})
        for number, (key, nonce) in enumerate([(KEY, "here"), (None, "here"), ("00" * 32, "here"), (KEY, "gone")])
    ]
    (tmp_path / "a1.url").write_text("amp://a1:s3cret@127.0.0.1")
    places = destinations(tmp_path, ["a1"])
    link: Any = Link()
    heard, missed, unable = tell_to_move(link, agents, places)
    assert [[each.instance for each in group] for group in (heard, missed, unable)] == [["i0"], ["i3"], ["i1", "i2"]]
    assert "s3cret" not in repr(told)
    opened = open_move(told["agent.a1.i0.here"], private=PRIVATE, address="agent.a1.i0.here")
    assert opened == places["a1"]


# -- the master's settings -------------------------------------------------------------------------------------------


def place(url: str) -> LinkSettings:
    return LinkSettings(url=url, master="m1")


@pytest.mark.parametrize(
    ("url", "left", "says"),
    [
        ("amp://0.0.0.0", "amqp://other@h/", "give the master's account at RabbitMQ the master's own name"),
        ("amqp://m1@h/", "amqp://m1@h/", "it is the same as url"),
        ("amp://0.0.0.0", "amp://127.0.0.1:1", "both of this master itself"),
    ],
)
def test_a_place_that_agents_cannot_move_from_is_refused(url: str, left: str, says: str) -> None:
    with pytest.raises(BadSettings, match=says):
        place(left).left_for(place(url))
    place("amqp://m1@h/").left_for(place("amp://0.0.0.0"))
    place("amqp://m1@h/").left_for(place("amqp://m1@other/"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"moving_from": 3}, "moving_from: a string, a Secret or an Interpolate, not int"),
        ({"moving_from": "http://h"}, "moving_from: "),
        ({"moving_from_tls": {"ca": "x"}}, "moving_from_tls: given without moving_from; leave it out"),
        ({"moving_from": "amqps://m1@h/", "moving_from_tls": {"ca": "/gone"}}, "moving_from_tls.ca: /gone"),
    ],
)
def test_what_is_wrong_of_it_in_master_cfg_is_named(settings: dict[str, Any], says: str) -> None:
    assert any(problem.startswith(says) for problem in wrong_settings(url="amp://0.0.0.0", **settings))
    assert not list(wrong_settings(url="amp://0.0.0.0", moving_from="amqp://m1@h/"))
