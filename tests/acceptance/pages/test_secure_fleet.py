"""All shell of docs/how-to/secure-fleet.md runs, and leaves a fleet that works and is closed where it should be."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pika
import pytest
from pika.exceptions import AMQPConnectionError

from contracts.testing.rabbitmq.ports import free_ports
from tests.acceptance.pages.machines import Machines
from tests.harness.master import BuildMaster
from tests.harness.tree import ROOT
from tests.harness.waiting import wait_for

PAGE = ROOT / "docs" / "how-to" / "secure-fleet.md"
BUILDER = "builder('b', column, steps.ShellCommand(name='true', command=['true']))\n"


def blocks(language: str) -> list[str]:
    """What stands in the page's grey boxes of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path, free_ports(1)[0])
    yield made
    made.end()


class Fleet:
    """Answers the page's requests, and looks between its blocks."""

    def __init__(self, machines: Machines, folder: Path) -> None:
        (config,) = blocks("python")
        self.machines = machines
        self.config = config + BUILDER
        self.master = BuildMaster(folder / "master", self.config, url=None, name="main")
        self.seen: list[str] = []

    def handle(self, request: str) -> None:
        self.seen.append(request)
        getattr(self, "on_" + re.sub(r"\W", "_", request.split()[0]))(*request.split()[1:])

    def on_restart(self, _host: str) -> None:
        self.machines.start_broker()

    def on_install(self, host: str) -> None:
        again = host in self.machines.agents
        self.machines.install(host)
        if again:
            self.on_reload(host)

    def on_reload(self, host: str) -> None:
        log = self.machines.agent_log(host)
        times = log.count("link_up")
        self.machines.agents[host].process.send_signal(12)  # SIGUSR2, as the unit has it
        wait_for(lambda: self.machines.agent_log(host).count("link_up") > times, 60,
                 lambda: f"{host} is back:\n{self.machines.agent_log(host)}")  # fmt: skip

    def on_block(self, number: str) -> None:
        after = {"4": self.start_master, "5": self.agents_are_there, "6": self.builds, "8": self.use_the_new_key,
                 "9": self.builds, "10": self.builds, "11": self.is_revoked}  # fmt: skip
        after.get(number, lambda: None)()

    def start_master(self) -> None:
        """Section 4 of the page, by hand."""
        secrets = self.master.folder / "secrets"
        secrets.mkdir(mode=0o700)
        for name in ("main.url", "fleet-1"):
            shutil.copy(self.machines.desk / name, secrets / name)
            assert (secrets / name).stat().st_mode & 0o777 == 0o600
        shutil.copy(self.machines.desk / "ca.pem", self.master.folder)
        self.master.create()
        self.master.start()
        self.master.wait_linked()

    def agents_are_there(self) -> None:
        for host in ("builder1", "builder2"):
            wait_for(partial(self._is_there, host), 60, partial(self.machines.agent_log, host))

    def _is_there(self, host: str) -> bool:
        return "queues" in self.machines.agent_log(host)

    def builds(self) -> None:
        build = self.master.finished(self.master.force("b"), 90)
        assert build.result == "SUCCESS"
        properties = self.master.get(f"/builds/{build.id}/properties")["properties"][0]
        assert properties["agent_account"][0] == properties["agent"][0]

    def use_the_new_key(self) -> None:
        shutil.copy(self.machines.desk / "fleet-2", self.master.folder / "secrets")
        self.config = self.config.replace("secrets/fleet-1", "secrets/fleet-2")
        self.master.reconfigure(self.config)
        self.builds()

    def is_revoked(self) -> None:
        """Its password is refused, and builds go to the other."""
        text = self.machines.path("builder2", "etc/worker-agent.toml").read_text()
        url = json.loads(re.search(r"amqp_url = (.+)", text)[1])  # type: ignore[index]  # it is there
        plain = re.sub(r"amqps://(.+)@.*", rf"amqp://\1@127.0.0.1:{self.machines.node.port}/%2F", url)
        with pytest.raises(AMQPConnectionError):
            pika.BlockingConnection(pika.URLParameters(plain))
        self.builds()
        wait_for(lambda: "refuses the login of user 'builder2'" in self.machines.agent_log("builder2"), 60, "refused")


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_page_makes_a_fleet_that_works(machines: Machines, tmp_path: Path) -> None:
    """From no certificate to a revoked machine, with a build after each change."""
    fleet = Fleet(machines, tmp_path)
    script = "".join(f"{text}\nrequest block {number}\n" for number, text in enumerate(blocks("sh"), 1))
    script = script.replace("BROKER=broker.example.org", "BROKER=localhost")
    script = script.replace("amqps://$BROKER/", f"amqps://$BROKER:{machines.port}/")
    try:
        machines.run(script, fleet.handle)
    finally:
        fleet.master.stop()
    assert fleet.seen[-1] == f"block {len(blocks('sh'))}"
    said = machines.output.read_text()
    assert "builder1" in said
    for host in ("builder1", "builder2"):
        assert "offer_sender_not_verified" not in machines.agent_log(host)
    passwords = re.findall(r"://\w+:([^@]+)@", "".join(each.read_text() for each in machines.desk.glob("*.toml")))
    assert len(passwords) == 2
    assert not [each for each in passwords if each in said]
