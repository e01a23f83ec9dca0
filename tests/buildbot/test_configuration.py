"""`buildbot checkconfig` names every mistake in our settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.harness.master import BuildMaster

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
        env={key: value for key, value in os.environ.items() if key != "BUILDBOT_AMQP_URL"} | environment,
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
    assert "good" in check(tmp_path / "environment", services + RIGHT, BUILDBOT_AMQP_URL="amqp://localhost")
    assert "AMQPBroker: url: not given" in check(tmp_path / "none", services + RIGHT)


def test_the_url_stays_out_of_messages(tmp_path: Path) -> None:
    """A wrong URL is not repeated: it may hold the password."""
    report = check(tmp_path, "c['services'] = [util.AMQPBroker(url='amqp://u:sesame@h:port/')]\n" + RIGHT)
    assert "AMQPBroker: url" in report
    assert "sesame" not in report
