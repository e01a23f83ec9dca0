"""Reads nothing anew for events that nobody hears.

Whenever something of a build, a step or a log has changed, Buildbot reads its row from the database again, for those
who listen: open pages, some reporters (data/builds.py, data/steps.py, data/logs.py, `generateEvent`). That is nine of a
step's twenty calls, also where nobody does. Here it is looked first whether anybody listens to such an event.

Only with Buildbot's own queue of messages (mq/simple.py), which knows all its listeners: not with one derived from it,
not where it writes down each message (`debug`), and not where somebody has put a function of his own in its `produce`'s
place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from buildbot.mq.simple import SimpleMQ
from twisted.internet import defer

_KINDS = ("build", "step", "log")


class UnheardEvents:
    """Of one master: `keep`, and `release` before its database is closed."""

    def __init__(self) -> None:
        self._resources: Sequence[Any] = ()

    def keep(self, master: Any) -> None:
        """Until `release`; no more than once."""
        queue = master.mq.impl
        if not self._resources and type(queue) is SimpleMQ:
            self._resources = [getattr(master.data.rtypes, kind) for kind in _KINDS]
            for resource in self._resources:
                resource.generateEvent = partial(_generate, master.mq, resource, resource.generateEvent)

    def release(self) -> None:
        """Buildbot's own way from now on."""
        resources, self._resources = self._resources, ()
        for resource in resources:
            del resource.generateEvent


def _generate(messages: Any, resource: Any, usual: Any, number: int, event: str) -> Any:
    """`messages`: what events are given to, `master.mq`. `number`: the row's id."""
    queue = _plain(messages)
    if queue is None or queue.debug:
        return usual(number, event)
    filters = (listener.filter for listener in queue.qrefs)
    if any(heard(filter, resource.eventPaths, event) for filter in filters):
        return usual(number, event)
    return defer.succeed(None)


def _plain(messages: Any) -> SimpleMQ | None:
    """The queue, if an event goes straight into it; None: somebody who is none of its listeners may hear of it."""
    produce = messages.produce
    straight = getattr(produce, "__func__", None) is SimpleMQ.produce and type(produce.__self__) is SimpleMQ
    return produce.__self__ if straight else None


def heard(filter: Sequence[str | None], paths: Iterable[str], event: str) -> bool:
    """May a listener with this filter (None: whatever it is) hear of `event`? `paths`: as "builds/{buildid}"."""
    for path in paths:
        key = (*path.split("/"), event)
        if len(key) == len(filter) and all(map(_may_be, filter, key)):
            return True
    return False


def _may_be(wanted: str | None, part: str) -> bool:
    return wanted is None or wanted == part or part.startswith("{")
