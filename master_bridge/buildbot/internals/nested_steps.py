"""A step of Buildbot's that runs inside another one, on another connection: what prepares a machine for a shard.

It has no row of its own in Buildbot's database: a row has a number, and later steps' keys on the broker are made of
theirs. Its logs are its parent's, under a name that says where it ran. Sources: process/buildstep.py `startStep`,
`_render_renderables`, `addLog`; steps/source/base.py `run`; steps/worker.py.
"""

from __future__ import annotations

import copy
import posixpath
from typing import Any

from buildbot.process.buildstep import BuildStepFailed, create_step_from_step_or_factory
from buildbot.process.results import FAILURE
from twisted.internet import defer

from master_bridge.core.actions import Holder


@defer.inlineCallbacks
def run_nested(template: Any, *, parent: Any, connection: Any, holder: Holder, revisions: dict[str, str]) -> Any:
    """Run the step that `template` (from master.cfg) describes in `connection`; fires with its result.

    `revisions`: by codebase, where the build's source stamp has none: all machines get the same.
    """
    step = create_step_from_step_or_factory(template)
    step.setBuild(_build_on(parent.build, holder, revisions))
    step.setWorker(_worker_on(parent.worker, holder))
    step.remote, step.stepid, step.number = connection, parent.stepid, parent.number
    step.addLog = lambda name, *args, **kwargs: _add_log(parent, step, name, holder, *args, **kwargs)
    yield step._render_renderables()
    step.name = f"{step.name} on {holder.agent}"
    try:
        result = yield step.run()
    except BuildStepFailed:
        result = FAILURE
    for log in step.logs.values():
        if not log.finished:
            yield log.finish()
    return result


def result_of_request(step: Any, request: int) -> Any:
    """Of a `Trigger` step: fires when `request` is complete; its summary counts the results of its builds then.

    Source: steps/trigger.py `_add_results`.
    """
    return step._add_results(request)


@defer.inlineCallbacks
def _add_log(parent: Any, step: Any, name: str, holder: Holder, *args: Any, **kwargs: Any) -> Any:
    log = yield parent.addLog(f"{name} of {type(step).__name__} on {holder.agent}", *args, **kwargs)
    log.getName = lambda: name  # by which its command knows it
    step.logs[name] = log
    return log


def _build_on(build: Any, holder: Holder, revisions: dict[str, str]) -> Any:
    """The build as it would be on that agent. Properties are the build's own."""
    there = copy.copy(build)
    there.path_module = posixpath
    there.getWorkerCommandVersion = lambda command, old=None: holder.worker.worker_commands.get(command, old)
    there.sources = [_pinned(source, revisions) for source in build.sources]
    return there


def _pinned(source: Any, revisions: dict[str, str]) -> Any:
    if source.revision or source.codebase not in revisions:
        return source
    return _Pinned(source, revisions[source.codebase])


class _Pinned:
    """A source stamp with a revision. Not a copy: Buildbot's own asks itself for what a copy does not have yet."""

    def __init__(self, source: Any, revision: str) -> None:
        self._source = source
        self.revision = revision

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def _worker_on(worker: Any, holder: Holder) -> Any:
    there = copy.copy(worker)
    there.worker_system, there.path_module = "posix", posixpath
    there.worker_environ = dict(holder.worker.environ)
    return there
