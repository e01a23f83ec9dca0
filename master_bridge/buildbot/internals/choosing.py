"""Functions of a builder's configuration that choose a worker, and ask a slot for a machine that it does not have yet.

`canStartBuild`, `nextWorker` and `c['select_next_worker']` are called before a build starts. A worker of Buildbot's is
a machine then, a slot is a place: it has no connection, no folder and no commands, and what it knows of its last agent
says nothing of the next one. Buildbot writes such a function's error into its log, and the request waits for ever. Here
a request that only slots could serve becomes a build that says what was asked for, and what to do instead.

Source: process/buildrequestdistributor.py `BasicBuildChooser`; process/builder.py `canStartBuild` and
`enforceChosenWorker`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from buildbot.process.builder import enforceChosenWorker
from twisted.internet import defer

log = structlog.get_logger(__name__)

#: What a worker of Buildbot's knows of its machine while it is connected, and a slot only while a build runs.
OF_THE_MACHINE = frozenset(
    {"worker_basedir", "worker_environ", "worker_system", "worker_commands", "path_module", "path_cls", "info"}
)
INSTEAD = (
    "Instead: let the workers' `requires` choose machines by what their agents offer (give a machine a capability of "
    "its own to choose just that one), let the agents' self-check keep work from unfit machines, or check the machine "
    "in a first step of the build."
)


class NoMachine(AttributeError):
    """A slot has no machine before its build has an agent."""


class _View:
    """A worker, or a pair of a worker and a builder, as a function of the configuration sees it; notes in `asked` what
    of a machine it is asked for."""

    def __init__(self, what: Any, asked: list[str]) -> None:
        object.__setattr__(self, "_what", what)
        object.__setattr__(self, "_asked", asked)

    @property  # type: ignore[misc]  # so that isinstance() finds what it is a view of
    def __class__(self) -> type:
        return type(self._what)

    def __getattr__(self, name: str) -> Any:
        if name in OF_THE_MACHINE:
            self._asked.append(name)
            raise NoMachine(f"{self._what!r} has no {name} before its build has an agent")
        value = getattr(self._what, name)
        if name == "conn":
            self._asked.append(name)
            return None
        return _View(value, self._asked) if name == "worker" else value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._what, name, value)

    def __eq__(self, other: object) -> bool:
        return bool(self._what == _bare(other))

    def __hash__(self) -> int:
        return hash(self._what)

    def __repr__(self) -> str:
        return repr(self._what)


def _bare(value: Any) -> Any:
    return object.__getattribute__(value, "_what") if type(value) is _View else value


def guard(builder: Any, is_slot: Callable[[Any], bool]) -> bool:
    """Wrap the functions of the builder's present configuration, once; True: they were not wrapped before.

    `is_slot` tells a slot from a worker of another kind.
    """
    config, master = builder.config, builder.master
    if getattr(config, "amqp_guarded", False):
        return False
    config.amqp_guarded = True
    choices = _Choices(builder, is_slot)
    if callable(config.canStartBuild):
        config.canStartBuild = choices.can_start(config.canStartBuild)
    next_worker = config.nextWorker or master.config.select_next_worker
    if callable(next_worker):
        config.nextWorker = choices.next_worker(next_worker)
    return True


def refusal(build: Any) -> str | None:
    """Why the build cannot run at all: it was made to say so."""
    return next((text for request in build.requests if (text := getattr(request, "amqp_refusal", None))), None)


def note(build: Any) -> str | None:
    """What the build should say of the choice of its worker."""
    return next((text for request in build.requests if (text := getattr(request, "amqp_note", None))), None)


class _Choices:
    def __init__(self, builder: Any, is_slot: Callable[[Any], bool]) -> None:
        self._builder = builder
        self._is_slot = is_slot

    def can_start(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if function is enforceChosenWorker:
            return self._enforce_chosen

        @defer.inlineCallbacks
        def guarded(builder: Any, pair: Any, request: Any) -> Any:
            if not self._is_slot(pair.worker):
                return (yield function(builder, pair, request))
            asked: list[str] = []
            try:
                can = yield function(builder, _View(pair, asked), request)
            except Exception:
                if not asked:
                    raise
                can = False
            if not can and asked:
                return self._refuse(request, _asks("canStartBuild", builder, asked))
            return can

        return guarded

    def next_worker(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @defer.inlineCallbacks
        def guarded(builder: Any, pairs: list[Any], request: Any) -> Any:
            asked: list[str] = []
            seen = [_View(pair, asked) if self._is_slot(pair.worker) else pair for pair in pairs]
            try:
                chosen = yield function(builder, seen, request)
            except Exception:
                if not asked:
                    raise
                chosen = None
            if chosen is not None or not asked:
                return _bare(chosen)
            others = [pair for pair in pairs if not self._is_slot(pair.worker)]
            if others:
                return (yield function(builder, others, request))
            return pairs[0] if self._refuse(request, _asks("nextWorker", builder, asked)) else None

        return guarded

    def _enforce_chosen(self, builder: Any, pair: Any, request: Any) -> bool:
        """The function that Buildbot's manual names for `WorkerChoiceParameter`: by the name of a worker."""
        can = bool(enforceChosenWorker(builder, pair, request))
        name = request.properties.getProperty("workername")
        if not isinstance(name, str) or not self._is_slot(pair.worker):
            return can
        if can:
            request.amqp_note = (
                f"The worker {name!r} was chosen for this build. It is a place in a column, not a machine: any agent "
                f"that qualifies may serve it. {INSTEAD}"
            )
        elif name not in builder.master.workers.workers:
            return self._refuse(
                request,
                f"The worker {name!r} was chosen for this build, and there is none of that name. Machines are not "
                f"chosen by the name of a worker. {INSTEAD}",
            )
        return can

    def _refuse(self, request: Any, text: str) -> bool:
        """Only where no worker of another kind may still take the request."""
        if not all(self._is_configured_slot(name) for name in self._builder.config.workernames):
            log.warning("amqp.builder_without_capable_worker", builder=self._builder.name, reason=text)
            return False
        request.amqp_refusal = text
        return True

    def _is_configured_slot(self, name: str) -> bool:
        worker = self._builder.master.workers.workers.get(name)
        return worker is not None and self._is_slot(worker)


def _asks(what: str, builder: Any, asked: list[str]) -> str:
    names = ", ".join(f"`{name}`" for name in dict.fromkeys(asked))
    return (
        f"{what} of builder {builder.name!r} asks a worker for its {names}. Its workers are places in a column, which "
        f"have no machine before a build has its agent. {INSTEAD}"
    )
