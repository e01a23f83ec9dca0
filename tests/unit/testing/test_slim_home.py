"""The view of RabbitMQ's home folder that a private node starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.testing.rabbitmq.home import slim_home
from contracts.testing.rabbitmq.node import RabbitMQNode

#: by plugin, what its description says it needs; kernel and ssl are Erlang's
_NEEDS = {
    "rabbit": "kernel,rabbit_common,ra",
    "rabbit_common": "kernel,ssl",
    "ra": "kernel",
    "rabbitmq_prelaunch": "kernel,\n\t\trabbit_common",
    "rabbitmq_management": "kernel,rabbit,cowboy",
    "cowboy": "kernel",
    "rabbitmq_mqtt": "kernel,rabbit",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name, needs in _NEEDS.items():
        ebin = tmp_path / "home" / "plugins" / f"{name}-1.0" / "ebin"
        ebin.mkdir(parents=True)
        (ebin / f"{name}.app").write_text(f"{{application, {name}, [\n\t{{applications, [{needs}]}}\n]}}.\n")
    for folder in ("sbin", "escript"):
        (tmp_path / "home" / folder).mkdir()
    (tmp_path / "home/sbin/rabbitmq-server").write_text("#!/bin/sh\n")
    (tmp_path / "linked").symlink_to(tmp_path / "home/sbin/rabbitmq-server")
    return tmp_path / "home"


def seen(variables: dict[str, str]) -> set[str]:
    return {path.name.partition("-")[0] for path in Path(variables["RABBITMQ_PLUGINS_DIR"]).iterdir()}


@pytest.mark.parametrize(
    ("plugins", "more"), [((), set()), (("rabbitmq_management",), {"rabbitmq_management", "cowboy"})]
)
def test_it_has_what_is_asked_for_and_all_that_this_needs(
    home: Path, tmp_path: Path, plugins: tuple[str, ...], more: set[str]
) -> None:
    for _ in range(2):  # a later node on the same folder
        variables = dict(slim_home([str(tmp_path / "linked")], plugins, tmp_path / "view"))
        assert seen(variables) == {"rabbit", "rabbit_common", "ra", "rabbitmq_prelaunch"} | more
        assert (Path(variables["RABBITMQ_SCRIPTS_DIR"]) / "rabbitmq-server").is_file()
        assert (Path(variables["RABBITMQ_SCRIPTS_DIR"]).parent / "escript").is_dir()


def test_a_server_elsewhere_or_of_archives_starts_from_its_own_home(home: Path, tmp_path: Path) -> None:
    server = str(home / "sbin/rabbitmq-server")
    assert slim_home(["chroot", "/srv", server], (), tmp_path / "view") == {}
    assert slim_home([server], ("rabbitmq_shovel",), tmp_path / "view") == {}  # its own error tells what is missing
    (home / "plugins/ra-1.0/ebin/ra.app").unlink()
    assert slim_home([server], (), tmp_path / "view") == {}
    (home / "plugins/rabbit-1.0").rename(home / "plugins/rabbit-1.0.ez")
    assert slim_home([server], (), tmp_path / "view") == {}
    assert not (tmp_path / "view").exists()


def test_a_node_starts_from_it_unless_told_otherwise(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_SERVER", str(home / "sbin/rabbitmq-server"))
    node = RabbitMQNode(tmp_path / "a", plugins=("rabbitmq_mqtt",))
    assert "rabbitmq_mqtt" in seen(node._environment())
    given = RabbitMQNode(tmp_path / "b", environment={"RABBITMQ_PLUGINS_DIR": "/elsewhere"})
    assert given._environment()["RABBITMQ_PLUGINS_DIR"] == "/elsewhere"
