"""A real master whose broker cannot be had: what a build's page and twistd.log say, and what mends itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import BROKER

ONE = """
c['workers'] = worker.amqp_column("any", workers=1, requires=["any"])
builder("b", c['workers'], steps.ShellCommand(command=["true"]))
"""

MakeMaster = Callable[..., BuildMaster]


@pytest.mark.rabbitmq(BROKER)
def test_a_second_master_of_one_name_says_so_on_the_builds_page(
    make_master: MakeMaster, amqp_url: str, master_database: Path, tmp_path: Path
) -> None:
    """At once, not when a minute is over and not as if its broker could not be reached."""
    make_master(ONE)
    second = BuildMaster(tmp_path / "second", ONE, url=amqp_url, name="m1")
    second.create(master_database)
    second.start()
    try:
        request = second.force("b")
        wait_for(
            lambda: "another master named 'm1' is running" in second.started(request).row["state_string"],
            40,
            lambda: second.describe(request),
        )
        assert second.log().count("event=amqp.claims_queue_held") == 1
        noise = [line for line in second.log().splitlines() if "factory" in line and "buildbot." not in line]
        assert noise == [], "Twisted's lines about our connections"
    finally:
        second.kill()


@pytest.mark.rabbitmq(BROKER)
def test_a_changed_password_is_read_again_from_buildbots_secret(
    make_master: MakeMaster, amqp_url: str, tmp_path: Path
) -> None:
    """The broker refuses the login: one line that says so, and with the file's new password the link comes up."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    file = folder / "broker"
    file.write_text(amqp_url.replace("guest:", "guest:old"))
    os.chmod(file, 0o600)
    settings = f"""
c['secretsProviders'] = [secrets.SecretInAFile(dirname={str(folder)!r})]
c['services'] = [util.AMQPBroker(url=util.Secret('broker'), master='m1')]
"""
    master = make_master(settings + ONE, url="", start=False)
    master.start()
    wait_for(lambda: "refuses the login of user 'guest'" in master.log(), 60, master.log)
    file.write_text(amqp_url)
    master.wait_linked()
    assert master.log().count("refuses the login") == 1, "once, not with each try"
    assert "Traceback" not in master.log()
