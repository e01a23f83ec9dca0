"""What a private RabbitMQ node is told, without starting one."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.testing.rabbitmq import program as rabbitmq_program
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.ports import PORTS, answers_amqp, free_ports
from contracts.testing.rabbitmq.program import BrokerMissing, NodeError, server_command


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without RabbitMQ, and the only folder on its PATH."""
    monkeypatch.delenv("RABBITMQ_SERVER", raising=False)
    monkeypatch.setattr(rabbitmq_program, "_SERVERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_missing_server_is_an_error_that_names_package_and_command(no_server: Path) -> None:
    with pytest.raises(BrokerMissing, match=r"apt-get install .*rabbitmq-server"):
        server_command()


def test_a_server_on_path_is_found(no_server: Path) -> None:
    path = program(no_server / "rabbitmq-server")
    assert server_command() == [str(path)]


def test_a_wrapper_that_switches_the_user_is_passed_over(no_server: Path) -> None:
    """Debian's /usr/sbin/rabbitmq-server is a link to one; it refuses everybody but root and its own user."""
    (no_server / "rabbitmq-server").symlink_to(program(no_server / "rabbitmq-script-wrapper"))
    with pytest.raises(BrokerMissing):
        server_command()


def test_rabbitmq_server_names_a_command_with_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that another version can be run inside a root file system of its own."""
    monkeypatch.setenv("RABBITMQ_SERVER", "chroot '/srv/debian 13' /usr/lib/rabbitmq/bin/rabbitmq-server")
    assert server_command() == ["chroot", "/srv/debian 13", "/usr/lib/rabbitmq/bin/rabbitmq-server"]


def test_ports_are_free_different_and_below_the_ephemeral_ones() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(port in PORTS for port in ports)
    assert not any(answers_amqp(port) for port in ports)


def test_settings_become_rabbitmq_conf_and_override_ours(tmp_path: Path) -> None:
    node = RabbitMQNode(tmp_path, config={"heartbeat": "5", "log.file.level": "debug"}, advanced="[{rabbit, []}].")
    node._write_files()
    conf = (tmp_path / "rabbitmq.conf").read_text().splitlines()
    assert "heartbeat = 5" in conf
    assert "log.file.level = debug" in conf
    assert f"listeners.tcp.1 = 127.0.0.1:{node.port}" in conf
    assert (tmp_path / "advanced.config").read_text() == "[{rabbit, []}]."
    assert (tmp_path / "enabled_plugins").read_text() == "[].\n"


def test_secrets_are_in_no_command_line_and_readable_by_the_owner_only(tmp_path: Path) -> None:
    node = RabbitMQNode(tmp_path)
    environment = node._write_files()
    assert node.password != node.cookie
    assert not any(node.cookie in value or node.password in value for value in environment.values())
    for name in (".erlang.cookie", "rabbitmq.conf"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) & 0o077 == 0


def test_a_later_node_on_the_same_folder_has_the_same_secrets(tmp_path: Path) -> None:
    assert RabbitMQNode(tmp_path).password == RabbitMQNode(tmp_path).password


def test_a_vhost_is_quoted_in_the_url(tmp_path: Path) -> None:
    assert RabbitMQNode(tmp_path).url.endswith("/%2F")


def test_a_node_without_the_plugin_says_how_to_get_the_management_api(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="rabbitmq_management"):
        _ = RabbitMQNode(tmp_path).management_url


def test_without_a_server_the_command_line_ends_with_the_error(tmp_path: Path) -> None:
    """A sentence on standard error and status 1, no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "contracts.testing.rabbitmq.node", "--folder", str(tmp_path)],
        env=os.environ | {"RABBITMQ_SERVER": str(tmp_path / "none")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert str(tmp_path / "none") in done.stderr
    assert "Traceback" not in done.stderr
