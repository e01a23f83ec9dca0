"""Names a build's agent where people look: in the text, the link and the log of its preparation step, and in its own.

Buildbot names the worker there, which is a place that many agents serve. What is written here is written beside the
build, which does not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import structlog
from buildbot.process.properties import Properties
from twisted.internet import defer

from contracts.messages import Capability
from contracts.readable import duration, shown
from contracts.requirements.sets import Requirements
from contracts.requirements.terms import normal_name
from master_bridge.buildbot.fleet.addresses import agent_url
from master_bridge.buildbot.internals.builds import preparation_step
from master_bridge.core.actions import Holder

log = structlog.get_logger(__name__)

#: Matching capabilities that a step's text tells, and characters of one name or version.
MATCHING_SHOWN, NAME_SHOWN = 10, 100
#: Source of the properties that name the agent.
SOURCE = "AMQP"
#: The log that tells all of the agent.
LOG_NAME = "agent"


def found_text(holder: Holder, requirements: Requirements, *, waited: float, adopted: bool) -> str:
    """Which agent has come, what it has of what was asked for, how long it was waited for (seconds).

    `adopted`: it has gone on with what it ran before the master's restart.
    """
    asked = frozenset(requirements.names)
    matching = [_capability(each) for each in holder.capabilities if normal_name(each.name) in asked]
    more = f" and {len(matching) - MATCHING_SHOWN} more" if len(matching) > MATCHING_SHOWN else ""
    having = f" with {', '.join(matching[:MATCHING_SHOWN])}{more}" if matching else ""
    came = "waited less than a second for it" if waited < 1 else f"waited {duration(waited)} for it"
    how = "has run this since before the master's restart" if adopted else came
    return f"agent {agent_name(holder)}{having}; {how}"


def agent_log(holder: Holder) -> Iterator[str]:
    """What is known of the agent and its machine, a line each."""
    told = holder.worker
    facts = {
        "agent": holder.agent,
        "account": holder.account,
        "instance": holder.instance,
        "host": told.host,
        "admin": told.admin,
        "access_uri": told.access_uri,
        "version": told.version,
        "system": told.system,
        "basedir": told.basedir,
        "numcpus": str(told.numcpus),
        **dict(sorted(told.facts.items())),
    }
    yield from (f"{shown(name, NAME_SHOWN)}: {shown(value)}" for name, value in facts.items() if value)
    yield ""
    yield f"capabilities: {len(holder.capabilities)}"
    yield from (f"  {_capability(each)}" for each in sorted(holder.capabilities, key=_order))


def agent_properties(holder: Holder) -> Properties:
    """Those of the build's properties that say which agent it has."""
    found = Properties()
    found.setProperty("agent", holder.agent, SOURCE)
    found.setProperty("agent_account", holder.account, SOURCE)
    found.setProperty("agent_instance", holder.instance, SOURCE)
    return found


def agent_name(holder: Holder) -> str:
    return shown(holder.agent, NAME_SHOWN)


def _capability(capability: Capability) -> str:
    name = shown(capability.name, NAME_SHOWN)
    return f"{name} {shown(capability.version, NAME_SHOWN)}" if capability.version else name


def _order(capability: Capability) -> tuple[str, str]:
    return capability.name, capability.version or ""


class Naming:
    """Of one build and the agent that was found for it."""

    def __init__(self, master: Any, build: Any, holder: Holder, text: str) -> None:
        self._master = master
        self._build = build
        self._holder = holder
        self._text = text
        self._built = False

    def build_starts(self) -> None:
        """Buildbot has ended the preparation step, with a text of its own."""
        self._name_in_step().addErrback(self._failed)

    def command_starts(self) -> None:
        """Buildbot has said "building", which says less."""
        if not self._built:
            self._built = True
            text = f"building on {agent_name(self._holder)}"
            self._master.data.updates.setBuildStateString(self._build.buildid, text).addErrback(self._failed)

    @defer.inlineCallbacks
    def _name_in_step(self) -> Any:
        step, holder, updates = preparation_step(self._build), self._holder, self._master.data.updates
        if step is None or step.stepid is None:
            return
        yield updates.setStepStateString(step.stepid, self._text)
        yield updates.setBuildProperties(self._build.buildid, agent_properties(holder))  # else at the end of a step
        url = agent_url(self._master.config.buildbotURL, holder.account, holder.instance)
        yield updates.addStepURL(step.stepid, f"agent {agent_name(holder)}", url)
        yield step.addCompleteLog(LOG_NAME, "\n".join(agent_log(holder)) + "\n")

    def _failed(self, failure: Any) -> None:
        """The build goes on all the same; its property `agent` says it, too."""
        log.warning("amqp.agent_not_named", build=self._build.buildid, reason=failure.getErrorMessage())
