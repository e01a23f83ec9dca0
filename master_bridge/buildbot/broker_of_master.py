"""Which `AMQPBroker` a master has: the configured one, or a shared one with the defaults."""

from __future__ import annotations

from typing import Any

from buildbot.util import service
from twisted.internet import defer

from master_bridge.buildbot.broker import AMQPBroker
from master_bridge.buildbot.internals.whole_config import SERVICE_NAME


class _Shared(service.SharedService):
    """Holds the broker that nobody configured, one a master."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = AMQPBroker()
        self.broker.setServiceParent(self)


@defer.inlineCallbacks
def broker_of(master: Any) -> Any:
    """The master's `AMQPBroker`: the configured one, or a shared one with the defaults."""
    configured = master.service_manager.namedServices.get(SERVICE_NAME)
    if configured is None:
        configured = (yield _Shared.getService(master)).broker
    return configured


def running_broker(master: Any) -> AMQPBroker | None:
    """The master's `AMQPBroker`, which is not made for this question."""
    configured = master.service_manager.namedServices.get(SERVICE_NAME)
    shared = master.namedServices.get(_Shared.getName())
    return configured if configured is not None else getattr(shared, "broker", None)
