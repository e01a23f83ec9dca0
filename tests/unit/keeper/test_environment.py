"""The environment that a command gets."""

from __future__ import annotations

import pytest

from worker_agent.keeper.processes.environment import build_environment, command_environment


def test_what_is_the_agents_own_stays_with_the_agent() -> None:
    """Broker addresses, settings and handles of the service manager are left out; the rest is passed on."""
    environ = {
        "AMQP_URL": "amqp://user:secret@host",
        "WORKER_AGENT_PASSWORD": "secret",
        "RABBITMQ_ERLANG_COOKIE": "secret",
        "NOTIFY_SOCKET": "/run/x",
        "CREDENTIALS_DIRECTORY": "/run/c",
        "BUILDBOT_AMQP_COMMAND": "outer/1",
        "PATH": "/bin",
        "MY_AMQP_THING": "mine",
    }

    assert command_environment(environ) == {"PATH": "/bin", "MY_AMQP_THING": "mine"}


def test_the_base_is_not_changed() -> None:
    base = {"A": "1"}
    asked = {"B": ["x", "${A}"], "PYTHONPATH": "/p"}

    assert build_environment(asked, base) == {"A": "1", "B": "x:1", "PYTHONPATH": "/p:"}
    assert base == {"A": "1"}
    assert asked == {"B": ["x", "${A}"], "PYTHONPATH": "/p"}


def test_a_value_that_is_no_text_is_named() -> None:
    with pytest.raises(RuntimeError, match="'env' values must be strings or lists; key 'A' is incorrect"):
        build_environment({"A": 1}, {})
