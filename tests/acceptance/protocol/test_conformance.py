"""The conformance kit: workers that keep to the protocol pass, and each check can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pika
import pytest

from conformance.checks import REQUIREMENTS
from conformance.errors import BadOptions
from conformance.run import KitOptions, run_kit
from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.acceptance.protocol.every_fault import FAULTS
from tests.acceptance.protocol.npm import NODE_WORKER, installed

AGENT = ("--amqp-url", "{url}", "--state", "{state}", "--capability", "{signature}", "--no-auto-capabilities")
#: What the Node worker leaves out; its README says so.
NOT_IN_NODE = {
    "shell.log-files", "files.glob", "command-offer.at-once", "command-offer.aside",
}  # fmt: skip
#: Broken in every run of the tests; the others take minutes.
QUICK = (
    "claim.answers",
    "shell.rc",
    "events.numbered",
    "interrupt.before-start",
    "journal.diverged",
    "upload.file",
    "operators.busy",
)
#: All of it takes four minutes on an idle machine: many checks wait for what must not happen.
WHOLE_KIT = pytest.mark.timeout(1500)


@pytest.mark.long
@pytest.mark.brokers
@WHOLE_KIT
def test_our_agent_does_all_that_a_worker_must_and_should(amqp_url: str) -> None:
    """Every requirement, on a real broker, through the command line."""
    command = [sys.executable, "-c", "from master_bridge.cli import main; main()", "conformance", "--json"]
    command += ["--amqp-url", amqp_url, "--", sys.executable, "-m", "worker_agent", *AGENT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1400, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    failed = [entry for entry in report["requirements"] if entry["outcome"] != "pass"]
    assert not failed, json.dumps(failed, indent=1)
    assert report["conforms"]
    assert done.returncode == 0
    assert [entry["id"] for entry in report["requirements"]] == [requirement.id for requirement in REQUIREMENTS]


@pytest.mark.long
@WHOLE_KIT
def test_the_node_worker_does_all_that_a_worker_must(amqp_url: str) -> None:
    """And what it should, but for what its README names."""
    worker = installed(NODE_WORKER) / "worker.js"
    command = ("node", str(worker), "--basedir", "{state}", "--signature", "{signature}", "--amqp-url", "{url}")
    report = run_kit(KitOptions(url=amqp_url, command=command))
    print(report.as_table())
    failed = {result.requirement.id: result.what for result in report.results if not result.passed}
    assert set(failed) == NOT_IN_NODE, failed
    assert report.conforms


@pytest.mark.long
def test_connections_can_be_cut_through_the_management_api(tmp_path: Path) -> None:
    """Without a relay: what a broker with TLS needs."""
    with RabbitMQNode(tmp_path / "rabbitmq", plugins=("rabbitmq_management",)) as node:
        options = KitOptions(
            url=node.url,
            management_url=node.management_url,
            command=(sys.executable, "-m", "worker_agent", *AGENT),
            only=("reconnect.idle", "reconnect.resumes"),
            patience=20.0,  # the API learns of connections every 5 s only
        )
        report = run_kit(options)
    assert report.conforms, report.as_table()


def test_the_kit_refuses_a_queue_that_is_in_use(amqp_url: str) -> None:
    """It would delete it, with the offers that wait in it."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    channel.queue_declare("cap.conformance", durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", "cap.conformance", b"an offer")
    with pytest.raises(BadOptions, match="1 messages"):
        run_kit(KitOptions(url=amqp_url, command=("true",), only=("claim.answers",)))
    assert channel.queue_declare("cap.conformance", passive=True).method.message_count == 1
    connection.close()


def test_a_worker_that_does_not_start_is_told_with_its_own_words(amqp_url: str) -> None:
    """Its status, and what it said."""
    command = ("sh", "-c", "echo no such module >&2; exit 9")
    report = run_kit(KitOptions(url=amqp_url, command=command, only=("claim.answers",)))
    [result] = report.results
    assert not result.passed
    assert "status 9" in result.what
    assert "no such module" in result.what


def test_every_requirement_has_a_fault_that_breaks_it() -> None:
    """A check without a worker that fails it proves nothing."""
    assert set(FAULTS) == {requirement.id for requirement in REQUIREMENTS}


@pytest.mark.parametrize("broken", [pytest.param(id, marks=() if id in QUICK else pytest.mark.long) for id in FAULTS])
def test_a_broken_worker_fails_the_check_of_what_is_broken(amqp_url: str, broken: str) -> None:
    """The report says what happened, in words."""
    command = (sys.executable, "-m", "tests.acceptance.protocol.broken_worker", broken, *AGENT)
    report = run_kit(KitOptions(url=amqp_url, command=command, only=(broken,), patience=4.0))
    result = next(result for result in report.results if result.requirement.id == broken)
    assert not result.passed
    assert result.what
    assert "consumer of" not in result.what, "the worker did not even start"


@pytest.mark.parametrize("sound", QUICK)
def test_a_sound_worker_passes_the_same_check(amqp_url: str, sound: str) -> None:
    """So it is the fault that the check above has found."""
    command = (sys.executable, "-m", "worker_agent", *AGENT)
    report = run_kit(KitOptions(url=amqp_url, command=command, only=(sound,), patience=10.0))
    assert report.conforms, report.as_table()
