"""A broker that cannot be had: what both links and both doctors say of it, and how often."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.ports import free_ports
from master_bridge.cli import main
from tests.broker.agent.conftest import StartAgent
from tests.broker.agent.scripted_master import until
from tests.broker.bridge.conftest import RunningLink, make_link, twisted  # noqa: F401  # fixtures
from tests.broker.security.conftest import SecureNode
from tests.harness import broker_state

MakeLink = Callable[..., RunningLink]


class Stranger:
    """Answers whatever it is told with `reply`, and closes."""

    def __init__(self, reply: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._reply = reply
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self._listener.accept()
            except OSError:
                return  # closed
            with taken:
                taken.recv(8)
                taken.sendall(self._reply)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def strangers() -> Iterator[Callable[[bytes], int]]:
    made: list[Stranger] = []

    def make(reply: bytes) -> int:
        made.append(Stranger(reply))
        return made[-1].port

    yield make
    for each in made:
        each.close()


@pytest.fixture
def account(secure: SecureNode, amqp_url: str) -> str:
    """URL of an account with nothing but full permissions on this test's vhost, and the vhost's name."""
    vhost = amqp_url.rpartition("/")[2]
    secure.node.evaluate(
        f'U = <<"{vhost}">>, All = <<".*">>, Who = <<"tests">>,'
        'ok = rabbit_auth_backend_internal:add_user(U, <<"sesame">>, Who),'
        "ok = rabbit_auth_backend_internal:set_permissions(U, U, All, All, All, Who)",
    )
    return f"amqp://{vhost}:sesame@127.0.0.1:{secure.node.port}/{vhost}"


def _password(_node: RabbitMQNode, url: str, _name: str) -> str:
    return url.replace(":sesame@", ":sesam@")


def _vhost(_node: RabbitMQNode, url: str, _name: str) -> str:
    return f"{url}-gone"


def _no_access(node: RabbitMQNode, url: str, name: str) -> str:
    node.ctl("clear_permissions", "-p", name, name)
    return url


def _limit(node: RabbitMQNode, url: str, name: str) -> str:
    node.ctl("set_user_limits", name, '{"max-connections":0}')
    return url


def _permissions(node: RabbitMQNode, url: str, name: str) -> str:
    broker_state.permit(node, name, name, "^$")
    return url


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (_password, "refuses the login of user '{name}'"),
        pytest.param(_vhost, "there is no vhost '{name}-gone'", marks=pytest.mark.long),
        pytest.param(_no_access, "user '{name}' may not use vhost '{name}'", marks=pytest.mark.long),
        pytest.param(_limit, "user connection limit (0) is reached", marks=pytest.mark.long),
        (_permissions, "in vhost '{name}' refused for user '{name}'"),
    ],
)
async def test_what_the_broker_refuses_is_told_with_account_vhost_and_remedy(
    secure: SecureNode, account: str, make_link: MakeLink, start_agent: StartAgent, tmp_path: Path,
    breaks: Callable[[RabbitMQNode, str, str], str], said: str,
) -> None:  # fmt: skip
    """By the agent once, however often it tries; by the bridge as the reason for a build's page; by both doctors."""
    name = account.rpartition("/")[2]
    await everybody_says(breaks(secure.node, account, name), said.format(name=name), make_link, start_agent, tmp_path)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak AMQP (it speaks HTTP)"),
        pytest.param(b"AMQP\x00\x01\x00\x00", "speaks another version of AMQP", marks=pytest.mark.long),
        (b"\x15\x03\x03\x00\x02\x02\x28", "speaks TLS: write amqps://"),
        pytest.param(b"", "closes it before a word", marks=pytest.mark.long),
        (None, "nothing listens at"),
    ],
)
async def test_what_is_no_broker_is_told(
    strangers: Callable[[bytes], int], make_link: MakeLink, start_agent: StartAgent, tmp_path: Path,
    reply: bytes | None, said: str,
) -> None:  # fmt: skip
    """A web server, an AMQP 1.0 broker, a TLS listener, a proxy without a backend, nobody at all."""
    port = free_ports(1)[0] if reply is None else strangers(reply)
    await everybody_says(f"amqp://bob:sesame@127.0.0.1:{port}/", said, make_link, start_agent, tmp_path)


async def everybody_says(url: str, said: str, make_link: MakeLink, start_agent: StartAgent, tmp_path: Path) -> None:
    link = make_link(url=url, up=False)
    agent = start_agent("agent", "--reconnect-max", "0.2", "--log-level", "info", url=url)
    await until(lambda: said in agent.log, f"{said!r} from the agent")
    await until(lambda: said in (link.link.down_reason or ""), f"{said!r} from the bridge")
    tries = link.link._backoff._state.attempt_number
    await until(lambda: link.link._backoff._state.attempt_number > tries + 1, "two more tries")
    for doctor in await asyncio.gather(agents_doctor(url, tmp_path), masters_doctor(url)):
        if said.startswith("in vhost"):  # the doctors ask for something else first
            said = "refused for user"
        assert said.split(":")[0] in doctor
        assert "Traceback" not in doctor
    assert agent.log.count("broker_unreachable") == 1, agent.log
    assert "sesam" not in agent.log + str(link.link.down_reason)
    assert "0x" not in agent.log
    assert "Traceback" not in agent.log


async def agents_doctor(url: str, folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker_agent", "--state", str(folder / "doctor"), "doctor", "--json",
        env={"WORKER_AGENT_AMQP_URL": url, "PATH": os.environ["PATH"]}, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    return (await process.communicate())[0].decode()


async def masters_doctor(url: str) -> str:
    result = await asyncio.to_thread(
        CliRunner().invoke, main, ["doctor", "--json"], env={"MASTER_BRIDGE_AMQP_URL": url}
    )
    return result.output + repr(result.exception)


async def test_a_password_that_was_changed_is_read_again_from_its_file(
    secure: SecureNode, account: str, start_agent: StartAgent, tmp_path: Path
) -> None:
    """The broker refuses the old one; the agent takes the file's new one with its next try, without a restart."""
    file = tmp_path / "url"
    file.write_text(account.replace(":sesame@", ":old@"))
    agent = start_agent("agent", "--reconnect-max", "0.5", "--amqp-url-file", str(file), url="")
    await until(lambda: "refuses the login" in agent.log, "the refusal")
    file.write_text("amqp://half")
    file.write_text("")
    await until(lambda: "amqp_url_file_unusable" in agent.log, "that the file cannot be used")
    file.write_text(account + "\n")
    await until(lambda: "link_up" in agent.log, "the link")
    assert agent.log.count("amqp_url_file_unusable") <= 2
    assert "sesame" not in agent.log
    vhost = account.rpartition("/")[2]
    broker_state.change_password(secure.node, vhost, "changed")
    broker_state.close_connections(secure.node, vhost)
    await until(lambda: agent.log.count("refuses the login") == 2, "the second refusal")
    file.write_text(account.replace(":sesame@", ":changed@"))
    await until(lambda: agent.log.count("link_up") == 2, "the link")
