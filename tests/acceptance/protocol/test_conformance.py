"""The conformance kit: workers that keep to the protocol pass, and each check can fail."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from master_bridge.conformance.checks import REQUIREMENTS
from master_bridge.conformance.run import KitOptions, run_kit
from tests.acceptance.protocol.faults import FAULTS
from tests.acceptance.protocol.npm import NODE_WORKER, installed

AGENT = ("--amqp-url", "{url}", "--state", "{state}", "--capability", "{signature}", "--no-auto-capabilities")
#: What the Node worker leaves out; its README says so.
NOT_IN_NODE = {
    "shell.log-files", "files.glob", "upload.directory", "command-offer.at-once", "command-offer.aside",
    "leave.killed-told",
}  # fmt: skip
#: Broken in every run of the tests; the others take minutes.
QUICK = ("claim.answers", "shell.rc", "events.numbered", "interrupt.before-start", "journal.diverged", "upload.file")


@pytest.mark.long
def test_our_agent_does_all_that_a_worker_must_and_should(amqp_url: str) -> None:
    """Every requirement, on a real broker, through the command line."""
    command = [sys.executable, "-c", "from master_bridge.cli import main; main()", "conformance", "--json"]
    command += ["--amqp-url", amqp_url, "--", sys.executable, "-m", "worker_agent", *AGENT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    report = json.loads(done.stdout)
    failed = [entry for entry in report["requirements"] if entry["outcome"] != "pass"]
    assert not failed, json.dumps(failed, indent=1)
    assert report["conforms"]
    assert done.returncode == 0
    assert [entry["id"] for entry in report["requirements"]] == [requirement.id for requirement in REQUIREMENTS]


@pytest.mark.long
def test_the_node_worker_does_all_that_a_worker_must(amqp_url: str) -> None:
    """And what it should, but for what its README names."""
    worker = installed(NODE_WORKER) / "worker.js"
    command = ("node", str(worker), "--basedir", "{state}", "--signature", "{signature}", "--amqp-url", "{url}")
    report = run_kit(KitOptions(url=amqp_url, command=command))
    failed = {result.requirement.id: result.what for result in report.results if not result.passed}
    assert set(failed) == NOT_IN_NODE, failed
    assert report.conforms


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
