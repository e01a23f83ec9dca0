"""What is wrong with a configuration as a whole: told by `checkconfig`, and what `start` and `reconfig` refuse.

A worker or a step sees itself only, while master.cfg may yet add a broker, or take it away: Buildbot's own sample sets
`c['services'] = []` near its end. So Buildbot's check of builders and workers, which comes when all is read, is
followed by one of ours.

Source: config/master.py `MasterConfig.loadFromDict`, `check_builders`.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

from buildbot import config
from buildbot.config.master import MasterConfig
from buildbot.warnings import ConfigWarning

from contracts.operations.office_url import is_office_url
from master_bridge.buildbot.broker_settings import wrong_settings
from master_bridge.buildbot.locks import limits_nothing
from master_bridge.link.settings import URL_VARIABLE, url_from_environment

SERVICE_NAME = "amqp-broker"
#: The page's name among Buildbot's plugins (an entry point of `buildbot.www`).
PAGE = "amqp_fleet"
#: Names of a long list that are told.
TOLD = 5


def check_whole_configs() -> None:
    """From now on; once a process."""
    theirs = MasterConfig.check_builders
    if hasattr(theirs, "of_amqp"):
        return

    def check_builders(self: MasterConfig) -> None:
        theirs(self)
        show_page(self)
        for problem in problems(self):
            config.error(problem)
        # no errors: a worker of Buildbot's beside ours may be limited by it, agents may all be this master's
        for text in (*limits_nothing(self), *wants_rabbitmq(self)):
            warnings.warn(text, category=ConfigWarning, stacklevel=1)

    check_builders.of_amqp = True  # type: ignore[attr-defined]  # so that it is wrapped once
    MasterConfig.check_builders = check_builders


def show_page(whole: Any) -> None:
    """The fleet's page belongs to a master that has agents: Buildbot shows a plugin only where `www` names it."""
    if whole.www.get("port") is not None and (SERVICE_NAME in whole.services or any(_needing_a_broker(whole))):
        whole.www["plugins"] = {PAGE: {}, **whole.www.get("plugins", {})}


def problems(whole: Any) -> Iterator[str]:
    """A sentence for each; `whole` is a `MasterConfig` that is read."""
    for name, count in Counter(worker.workername for worker in whole.workers).items():
        if count > 1:
            yield f"worker {name!r} is configured {count} times: give each worker, and each amqp_column, its own name"
    needing = list(_needing_a_broker(whole))
    if not needing or SERVICE_NAME in whole.services:
        return
    if url_from_environment() is not None:  # a broker with the defaults is made
        yield from (f"AMQPBroker: {problem}" for problem in wrong_settings())
        return
    more = f" and {len(needing) - TOLD} more" if len(needing) > TOLD else ""
    yield (
        f"no AMQPBroker for {', '.join(needing[:TOLD])}{more}: add util.AMQPBroker(url=…) to c['services'], below any "
        f"line that sets c['services'] anew, or set the environment variable {URL_VARIABLE}"
    )


def wants_rabbitmq(whole: Any) -> Iterator[str]:
    """A sentence for each thing that a master without a broker does less well (docs/how-to/without-a-broker.md)."""
    broker = whole.services.get(SERVICE_NAME)
    url = url_from_environment() if broker is None else getattr(broker, "configured_url", None)
    if not isinstance(url, str) or not is_office_url(url):
        return
    if whole.multiMaster:
        yield (
            "multiMaster: agents come to this master itself and work for no other, so each master has a fleet of its "
            "own; masters that share one need RabbitMQ"
        )
    for builder in whole.builders:
        if _first_step(builder, "amqp_capability_step") is not None:
            yield (
                f"builder {builder.name!r}: a CapabilityCommand that waits while this master is down is begun when it "
                "is back, for agents come to the master itself; with RabbitMQ an agent begins it meanwhile"
            )


def _needing_a_broker(whole: Any) -> Iterator[str]:
    for worker in whole.workers:
        if getattr(worker, "amqp_worker", False):
            yield f"worker {worker.workername!r}"
    for builder in whole.builders:
        if (step := _first_step(builder, "amqp_capability_step")) is not None:
            yield f"a {step.__name__} of builder {builder.name!r}"


def _first_step(builder: Any, mark: str) -> Any:
    """The class of the builder's first step that has this mark."""
    classes = (getattr(step, "step_class", None) for step in getattr(builder.factory, "steps", ()))
    return next((found for found in classes if getattr(found, mark, False)), None)
