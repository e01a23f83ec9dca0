"""Folders of the build's own worker in a command that runs elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from buildbot.config.errors import ConfigErrors
from buildbot.plugins import util

from master_bridge.buildbot.places import named, used
from master_bridge.buildbot.steps import CapabilityCommand
from master_bridge.buildbot.worker import AMQPLatentWorker

FOLDERS = {"builddir": "/work/agent/slot-0/linux", "basedir": "/work/agent"}


@pytest.mark.parametrize(
    "argument",
    [
        {"command": ["make", "-C", util.Interpolate("%(prop:builddir)s/build")]},
        {"command": util.Interpolate("cd %(prop:builddir:-/tmp)s && make")},
        {"command": ["make", "-C", util.Property("builddir")]},
        {"command": util.WithProperties("cd %(builddir)s")},
        {"command": ["sh", ["-c", util.Interpolate("%(prop:basedir)s")]]},
        {"command": util.Interpolate("cd %s", util.Property("builddir"))},
        {"command": util.Interpolate("cd %(kw:where)s", where=util.Property("builddir"))},
        {"command": "make", "env": {"HOME": util.Property("basedir")}},
        {"command": "make", "workdir": util.Interpolate("%(prop:builddir)s/other")},
        {"command": "make", "logfiles": {"l": util.Interpolate("%(prop:builddir)s/l.log")}},
        {"command": "make", "initialStdin": util.Interpolate("%(prop:builddir)s")},
    ],
)
def test_checkconfig_tells_where_it_can_be_seen(argument: dict[str, Any]) -> None:
    """In each argument, however deep."""
    with pytest.raises(ConfigErrors, match="is a folder of the build's own worker"):
        CapabilityCommand(**argument)


def test_other_properties_are_right() -> None:
    step: dict[str, Any] = {
        "command": ["make", util.Interpolate("%(prop:branch)s-%(prop:builddirs)s"), util.Property("got")]
    }
    assert list(named(step)) == []
    CapabilityCommand(**step)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"command": ["ls", "/work/agent/slot-0/linux"]}, "builddir"),
        ({"command": "cd /work/agent/slot-0/linux/build && make"}, "builddir"),
        ({"command": ["obfuscated", "--x='/work/agent/slot-0/linux'", "x"]}, "builddir"),
        ({"command": b"ls /work/agent/slot-0/linux"}, "builddir"),
        ({"env": {"PATH": "/bin:/work/agent/slot-0/linux:/sbin"}}, "builddir"),
        ({"command": "ls /work/agent/other"}, "basedir"),
        ({"command": "ls /work/agents /work/agent-2 /work/agent.old x/work/agent ~/work/agent"}, None),
        ({"command": ["make"], "timeout": 1200, "env": None, "workdir": "build"}, None),
    ],
)
def test_the_step_tells_what_only_rendering_shows(arguments: dict[str, Any], name: str | None) -> None:
    """A function of the configuration may put it there; names that only begin alike are others."""
    assert used(arguments, FOLDERS) == name


def test_what_is_no_folder_is_not_looked_for() -> None:
    """A worker that told none, and one at the root."""
    assert used({"command": "ls / None"}, {"builddir": None, "basedir": "/"}) is None


def test_a_worker_has_its_requirements_before_buildbot_configures_it() -> None:
    """The catalogue names no queue of a half configured one (`any`), to be declared, and deleted soon after."""
    made = AMQPLatentWorker("w", requires=["gtk>=3"], prefers=["warm"])
    assert made.signature == "gtk>=3"
    assert made.preferred_signature == "gtk>=3+warm"
