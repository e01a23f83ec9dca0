"""`buildbot checkconfig` names every mistake in our settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

WRONG = """
c['services'] = [util.AMQPBroker(url="http://x", master="a.b", tls={"cert": 1}, queue_type="fast", grace=0,
    heartbeat="soon", events_max_bytes=1, colour="red")]
c['workers'] = [
    worker.AMQPLatentWorker("w1", requires=["gtk>=", "a b ]"], fencing="maybe", max_builds=3,
        missing_timeout=4, size=9),
    worker.AMQPLatentWorker("w2", requires=7, notify_after_minutes=-1),
] + worker.amqp_column("w3", workers=0) + worker.amqp_column("w4", requires=["gtk=3"], prefers=["wx>>1"], size=9)
builder("b", c['workers'], steps.ShellCommand(command=["true"]),)
steps.CapabilityCommand(command=["true"], requires=["gtk>="], fencing=3, prefers=["a b ]"], prefer_seconds=-1)
"""


def check(folder: Path, config: str, url: str | None = None, **environment: str) -> str:
    """What `buildbot checkconfig` prints."""
    BuildMaster(folder, config, url=url)
    ran = subprocess.run(
        [sys.executable, "-c", "from buildbot.scripts.runner import run; run()", "checkconfig", "master.cfg"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
        env={key: value for key, value in os.environ.items() if key != "MASTER_BRIDGE_AMQP_URL"} | environment,
    )  # fmt: skip
    return ran.stdout + ran.stderr


def test_every_mistake_is_named(tmp_path: Path) -> None:
    """All wrong arguments of all our objects are in one report, each with its name."""
    report = check(tmp_path, WRONG)
    for what in ("url", "master", "tls", "queue_type", "grace", "heartbeat", "events_max_bytes", "colour"):
        assert f"AMQPBroker: {what}" in report, report
    for what in ("requires", "fencing", "max_builds", "missing_timeout", "size"):
        assert f"AMQPLatentWorker 'w1': {what}" in report, report
    assert "AMQPLatentWorker 'w2': requires" in report
    assert "AMQPLatentWorker 'w2': notify_after_minutes" in report
    assert "amqp_column 'w3': workers" in report
    for what in ("requires", "prefers", "prefer_seconds", "fencing"):
        assert f"CapabilityCommand: {what}" in report, report
    for what in ("requires", "prefers", "size"):
        assert report.count(f"'w4': {what}") == 1, report  # for the column, not for each of its slots
    assert "  gtk=3\n     ^\n" in report
    assert "w4-1" not in report
    assert "Traceback" not in report


RIGHT = """
c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk>=3", "python2.3"], locks=[],
    properties={"a": 1}, fencing="strict")
builder("b", c['workers'], steps.CapabilityCommand(command=["true"], requires=[util.Property("what")],
    prefers=["git"], prefer_seconds=5))
"""


def test_a_good_configuration_passes(tmp_path: Path) -> None:
    """Renderable requirements of steps, secrets as URL and the environment's URL are all right."""
    services = "c['services'] = [util.AMQPBroker(url=util.Secret('amqp'), queue_type='quorum')]\n"
    assert "good" in check(tmp_path / "secret", services + RIGHT)
    services = "c['services'] = [util.AMQPBroker()]\n"
    assert "good" in check(tmp_path / "environment", services + RIGHT, MASTER_BRIDGE_AMQP_URL="amqp://localhost")
    assert "AMQPBroker: url: not given" in check(tmp_path / "none", services + RIGHT)


def test_the_url_stays_out_of_messages(tmp_path: Path) -> None:
    """A wrong URL is not repeated: it may hold the password."""
    report = check(tmp_path, "c['services'] = [util.AMQPBroker(url='amqp://u:sesame@h:port/')]\n" + RIGHT)
    assert "AMQPBroker: url" in report
    assert "sesame" not in report


GOOD = """
c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk"])
builder("b", c['workers'], steps.ShellCommand(command=["true"]))
"""
#: master.cfg as users have it, and what is told of it
BROKEN = {
    "a broker that a later line takes away": (GOOD + "c['services'] = []\n", "no AMQPBroker for worker 'gtk-1'"),
    "a column twice": (GOOD + "c['workers'] += worker.amqp_column('gtk')\n", "worker 'gtk-1' is configured 2 times"),
    "a password": (GOOD + "c['workers'].append(worker.AMQPLatentWorker('g1', 'sesame'))\n", "'g1': each argument but"),
    "no CA": (
        GOOD + "c['services'] = [util.AMQPBroker(url='amqps://u:sesame@h', tls={'ca': '/nowhere.pem'})]\n",
        "tls.ca: /nowhere.pem: No such file or directory",
    ),
    "plain text": (GOOD + "c['services'] = [util.AMQPBroker(url='amqp://u:sesame@h', tls={})]\n", "plain text"),
    "an escape": (GOOD + "c['services'] = [util.AMQPBroker(url='amqp://u:ses/ame@h')]\n", "as %XX"),
    "one broker too many": (
        GOOD + "c['services'].append(util.AMQPBroker(metrics_port=0, url='amqp://h'))\n",
        "amqp-broker",
    ),
}


#: With `make test`, a kind each: of the whole file, of one object, of a secret.
_SOON = ("a broker that a later line takes away", "a column twice", "an escape")


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=() if what in _SOON else pytest.mark.long) for what in BROKEN]
)
def test_a_master_does_not_start_with_what_checkconfig_refuses(
    what: str, tmp_path: Path, master_database: Path
) -> None:
    """It says the same, ends by itself, and shows no password."""
    config, problem = BROKEN[what]
    assert problem in check(tmp_path / "check", config, url="amqp://u:sesame@127.0.0.1:1")
    master = BuildMaster(tmp_path / "master", config, url="amqp://u:sesame@127.0.0.1:1")
    master.create(master_database)
    try:
        master.start(wait=False)
        wait_for(lambda: not master.running, 60, lambda: f"its end:\n{master.log()[-3000:]}")
        assert problem in master.log()
        assert "sesame" not in master.log()
    finally:
        master.kill()


def test_a_reconfig_refuses_it_too_and_the_master_still_stops(
    make_master: Callable[..., BuildMaster],
) -> None:
    """What ran before goes on; then `buildbot stop` takes no longer than ever."""
    master = make_master(GOOD)
    for config, problem in BROKEN.values():
        master.write_config(config)
        before = len(master.log())
        os.kill(master.pid, signal.SIGHUP)
        wait_for(partial(_aborted, master, before), 60, lambda: master.log()[-3000:])
        assert problem in master.log()[before:]
    master.reconfigure(GOOD)
    master.stop(timeout=30)
    assert "Server Shut Down" in master.log(), "it had to be killed"


def _aborted(master: BuildMaster, since: int) -> bool:
    return "aborted without making any changes" in master.log()[since:]


def test_a_master_stops_that_never_got_a_broker(tmp_path: Path, master_database: Path) -> None:
    """A secret is known at the start only. The master runs, says why nothing is brokered, and stops."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "url").write_text("amqp://u:ses/ame@h")
    (secrets / "url").chmod(0o600)
    config = f"""
c['secretsProviders'] = [secrets.SecretInAFile(dirname={str(secrets)!r})]
c['services'] = [util.AMQPBroker(url=util.Secret('url'))]
{GOOD}"""
    master = BuildMaster(tmp_path / "master", config, url=None)
    master.create(master_database)
    try:
        master.start()
        request = master.force("b")
        wait_for(lambda: "amqp.broker_unusable" in master.log(), 30, lambda: master.log()[-3000:])
        wait_for(
            lambda: any("as %XX" in str(build.steps) for build in master.builds(request)),
            30,
            lambda: master.describe(request),
        )
        assert "ame@" not in master.log()
        master.stop(timeout=30)
        assert "Server Shut Down" in master.log(), "it had to be killed"
    finally:
        master.kill()
