"""`seal=` of columns, workers and steps: what is wrong with it, which queues it leads to, what it costs when off."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.messages import Capability
from contracts.trust import sealing
from master_bridge.buildbot.fleet import catalogue
from master_bridge.buildbot.steps import CapabilityCommand
from master_bridge.buildbot.worker_settings import asked, wrong_seal, wrong_settings
from worker_agent.capabilities.abilities import of_program
from worker_agent.capabilities.options import DetectOptions


@pytest.mark.parametrize("value", ["yes", 1, None, "strict", []])
def test_a_seal_is_true_or_false(value: Any) -> None:
    """And the text names it."""
    assert list(wrong_settings(seal=value)) == [f"seal: True or False, not {value!r}"]
    assert not list(wrong_settings(seal=True))
    assert not list(wrong_settings(seal=False))


def test_a_master_that_cannot_seal_says_so_when_its_configuration_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where a seal is asked for."""
    monkeypatch.setattr(sealing, "unavailable", lambda: "the package cryptography is missing")
    assert list(wrong_settings(seal=True)) == ["seal: this master cannot seal: the package cryptography is missing"]
    assert not list(wrong_settings(seal=False))
    assert not list(wrong_seal(None, None))


def test_what_is_sealed_requires_that_its_agent_can() -> None:
    assert asked(["gtk>=3"], True) == ["gtk>=3", "sealing"]
    assert asked("gtk", False) == ["gtk"]


@pytest.mark.parametrize(
    ("seal", "among_sealed", "wanted"),
    [
        ({}, False, {"lint"}),
        ({}, True, {"lint", "lint+sealing"}),
        ({"seal": None}, True, {"lint", "lint+sealing"}),
        ({"seal": True}, False, {"lint+sealing"}),
        ({"seal": False}, True, {"lint"}),
    ],
)
def test_the_catalogue_names_the_queues_of_steps(seal: dict[str, Any], among_sealed: bool, wanted: set[str]) -> None:
    """A step that does not say is sealed as its build's worker is."""
    factory = SimpleNamespace(step_class=CapabilityCommand, kwargs={"requires": ["lint"], **seal})
    assert set(catalogue._step_signatures(factory, among_sealed)) == wanted


def test_an_agent_tells_that_it_can_seal_unless_that_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    assert of_program(DetectOptions(auto=False)) == (Capability(name="sealing", version="1"),)
    assert of_program(DetectOptions(without=("sealing",))) == ()
    monkeypatch.setattr(sealing, "unavailable", lambda: "the package cryptography is missing")
    assert of_program(DetectOptions()) == ()


def test_without_a_seal_nothing_of_cryptography_is_loaded() -> None:
    """An agent's memory and start are what they were."""
    program = (
        "import sys, worker_agent.agent.loop, master_bridge.core.machine, master_bridge.link.seals\n"
        "from worker_agent.link.seals import Seals\n"
        "from worker_agent.core.actions import Publish\n"
        "from contracts.messages import Ping\n"
        "ping = Ping(session='s', incarnation='i', stored=0)\n"
        "seals = Seals()\n"
        "assert seals.outgoing(Publish(message=ping, master='m', to='events')) is ping\n"
        "assert seals.incoming(ping, 'u') is ping\n"
        "print([name for name in sys.modules if name.startswith('cryptography')])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")
