"""Our agent under the conformance kit, requirement by requirement, over each way to a master."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance.checks import REQUIREMENTS
from conformance.office.wires import AMP, STREAM, ZMQ
from conformance.requirement import ProtocolRequirement
from conformance.run import Kit, KitOptions
from tests.harness.ways import RABBITMQ

AGENT = (sys.executable, "-m", "worker_agent", "--url", "{url}", "--state", "{state}",
         "--capability", "{signature}", "--no-auto-capabilities")  # fmt: skip
TRANSPORTS = (RABBITMQ, "amp", "zmq", "ssh")
#: Checked in every run of the tests, over wires of which no other test of the kit is; all of it takes minutes.
QUICK, IN_EVERY_RUN = ("claim.answers", "events.any-bytes", "reconnect.resumes"), ("amp", "zmq")


def cases() -> Iterator[object]:
    for transport in TRANSPORTS:
        for requirement in REQUIREMENTS:
            marks = [] if transport in IN_EVERY_RUN and requirement.id in QUICK else [pytest.mark.long]
            yield pytest.param(transport, requirement, id=f"{transport}-{requirement.id}", marks=marks)


@pytest.fixture(scope="module")
def kit_over(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Kit]]:
    """`kit_over(transport)`: with one agent for all requirements of a transport, unless it fails one."""
    made: dict[str, Kit] = {}

    def over(transport: str) -> Kit:
        if transport not in made:
            while made:
                made.popitem()[1].close()
            made[transport] = Kit(options(transport, request, tmp_path_factory.mktemp("run")))
        return made[transport]

    yield over
    for kit in made.values():
        kit.close()


def options(transport: str, request: pytest.FixtureRequest, folder: Path) -> KitOptions:
    if transport == RABBITMQ:
        node, vhosts = request.getfixturevalue("node"), request.getfixturevalue("_vhosts")
        vhost = vhosts.take()
        request.addfinalizer(lambda: vhosts.give_back(vhost))
        return KitOptions(url=node.vhost_url(vhost), command=AGENT)
    if transport == "ssh":
        return KitOptions(url=None, wire=STREAM, command=by_ssh(folder))
    return KitOptions(url=None, wire={"amp": AMP, "zmq": ZMQ}[transport], command=AGENT)


def by_ssh(folder: Path) -> tuple[str, ...]:
    """By ssh as the agent runs it, with the kit's program in its place."""
    run = folder / "run"
    run.write_text(
        '#!/bin/sh\nmkdir -p "$2/bin"; ln -sf "$1" "$2/bin/ssh"\n'
        f'PATH="$2/bin:$PATH" exec {sys.executable} -m worker_agent --url ssh://x/conformance --state "$2/state" '
        '--capability "$3" --no-auto-capabilities\n'
    )
    run.chmod(0o755)
    return (str(run), "{connect}", "{state}", "{signature}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("transport", "requirement"), list(cases()))
def test_our_agent_does_it(kit_over: Callable[..., Kit], transport: str, requirement: ProtocolRequirement) -> None:
    """And breaks no other rule meanwhile."""
    kit = kit_over(transport)
    seen = len(kit.watch.violations)
    result = kit.check(requirement)
    assert result.passed, result.what
    assert kit.watch.violations[seen:] == []
