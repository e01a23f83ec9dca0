"""From settings to a running agent: logs, identity, signals, the event loop, and a restart in place."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from contracts.errors import ContractError
from contracts.operations import memory
from contracts.operations.exit_status import ExitStatus
from contracts.operations.office_url import STDIO, is_office_url, parse_office_url
from worker_agent.agent.ending import EndReason
from worker_agent.agent.instance import Instance, StateInUse
from worker_agent.keeper.second_user import NoSecondUser, SecondUser, give_up_ambient, own_name
from worker_agent.program import logs
from worker_agent.program.checking import wrong
from worker_agent.program.loading import GIVE_BACK, Given, settings_of, unknown_variables
from worker_agent.program.settings import PREFIX, Settings
from worker_agent.reporting import systemd
from worker_agent.state_files import StateUnreadable

if TYPE_CHECKING:
    from worker_agent.keeper.giving_back import Program
    from worker_agent.program.tracing import Tracing

log = structlog.get_logger(__name__)

#: Those that an agent takes for orders.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
#: Rounds of the event loop after which what is done on a signal that had come is done: it sees that there is one, reads
#: which, and calls what it is for.
_UNTIL_HEARD = 3


def work(given: Given) -> int:
    """Run an agent, as a command line says; the exit status. Does not return when it restarts in place."""
    options = sys.orig_argv[1:-1] if given.subcommand else sys.orig_argv[1:]
    return run(settings_of(given), unknown_variables(), give_back=[sys.executable, *options, GIVE_BACK])


def run(settings: Settings, unknown: Sequence[str] = (), *, give_back: Sequence[str] = ()) -> int:
    """Run the agent until it leaves; the exit status. Does not return when it restarts in place.

    `give_back`: the command line of what gives back its work if it is killed. Without one it is that itself: it takes
    nothing, gives back what an agent that was killed has left, and leaves.
    """
    found = wrong(settings)
    if found is not None:
        print(f"worker-agent: {found}", file=sys.stderr)  # noqa: T201  # the command's answer
        return ExitStatus.USAGE
    user: SecondUser | None = None
    try:
        if settings.run_as is not None:
            from worker_agent.program.separation import second_user

            user = second_user(settings)
    except NoSecondUser as error:
        print(f"worker-agent: --run-as {settings.run_as}: {error}", file=sys.stderr)  # noqa: T201  # as above
        return ExitStatus.USAGE
    if user is None:
        give_up_ambient()
    try:
        instance = Instance(settings.state, gives_back=not give_back)
    except (StateInUse, StateUnreadable) as error:
        print(f"worker-agent: {error}", file=sys.stderr)  # noqa: T201  # as above
        return ExitStatus.CANTCREAT
    logs.configure(form=settings.log_format, level=settings.log_level)
    for name in unknown:
        log.warning("unknown_variable", name=name, remedy="`worker-agent --help` lists the settings")
    environ = dict(os.environ)
    _hide_secrets()
    try:
        tracing = _tracing(settings, instance)
    except ContractError as error:
        print(f"worker-agent: --traces: {error}", file=sys.stderr)  # noqa: T201  # as above
        return ExitStatus.USAGE
    program = _started_by_keepers(give_back, settings, environ)
    ending = asyncio.run(_run(settings, instance, user, tracing, program, gives_back=not give_back))
    if ending is EndReason.RESTART:
        instance.close()
        if not give_back:  # the successor waits already
            return 0
        systemd.notify(STATUS="restarting")
        return _execute_again(settings, environ)
    return ExitStatus.SOFTWARE if ending is EndReason.FAILED else 0


def _execute_again(settings: Settings, environ: dict[str, str]) -> int:
    """Restart in place: returns only when that cannot be done.

    The state folder stays the same, whatever has become of the host's name or of a file of settings: what runs is
    there.
    """
    environ[f"{PREFIX}STATE"] = str(settings.state)
    try:
        os.execve(sys.executable, sys.orig_argv, environ)  # noqa: S606  # this very program, without a shell
    except OSError as error:
        log.error("restart_failed", program=sys.executable, reason=str(error.strerror), remedy="start this agent again")
    return ExitStatus.SOFTWARE


def _started_by_keepers(give_back: Sequence[str], settings: Settings, environ: Mapping[str, str]) -> Program | None:
    """What gives back what this process held, if it is killed, as it is started.

    None: a service manager starts it again at once, which takes up what runs; or a master's ssh would have to come.
    """
    url = settings.amqp_url.get_secret_value() if settings.amqp_url is not None else ""
    by_ssh = is_office_url(url) and parse_office_url(url).wire == STDIO
    if not give_back or by_ssh or systemd.manages_this_process():
        return None
    from worker_agent.keeper.giving_back import Program

    try:
        folder = os.getcwd()
    except OSError:  # somebody has removed it
        folder = "/"
    return Program(command=give_back, environment={**environ, f"{PREFIX}STATE": str(settings.state)}, folder=folder)


def _tracing(settings: Settings, instance: Instance) -> Tracing | None:
    """Raises `BadTraces`."""
    if not settings.traces:
        return None
    from worker_agent.program.tracing import Tracing

    return Tracing(settings.name, instance.uuid)


def _hide_secrets() -> None:
    """What builds inherit must not hold the broker's password; `environ` of a restart gets it back."""
    for name in list(os.environ):
        if name.startswith(PREFIX):
            del os.environ[name]


async def _run(
    settings: Settings,
    instance: Instance,
    user: SecondUser | None,
    tracing: Tracing | None,
    give_back: Program | None,
    *,
    gives_back: bool,
) -> EndReason:
    from worker_agent.agent.giving_back import GivingBack
    from worker_agent.agent.loop import Agent

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.unhandled)
    memory.keep()
    kind = GivingBack if gives_back else Agent
    agent = kind(settings, instance, user, None if tracing is None else tracing.traces, give_back)
    loop.add_signal_handler(signal.SIGTERM, agent.leave, "SIGTERM")
    loop.add_signal_handler(signal.SIGINT, agent.leave, "SIGINT")
    loop.add_signal_handler(signal.SIGHUP, agent.probe, "SIGHUP")
    loop.add_signal_handler(signal.SIGUSR2, agent.restart, "SIGUSR2")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # that came in a restart in place
    log.info(
        "agent_started", name=settings.name, instance=instance.uuid, pid=os.getpid(), slots=settings.slots,
        state=str(settings.state), basedir=str(settings.basedir),
    )  # fmt: skip
    if user is None:
        log.warning("commands_run_as_the_agent", user=own_name(),
                    effect="a build can read the broker's password and this agent's state",
                    remedy="--run-as USER, see docs/how-to/security.md")  # fmt: skip
    else:
        log.info("commands_run_apart", user=user.name, agent=own_name())
    systemd.notify(READY=1, MAINPID=os.getpid(), STATUS="running")
    watchdog = asyncio.create_task(_watchdog())
    try:
        ending = await agent.run()
    finally:
        watchdog.cancel()
        if tracing is not None:
            await tracing.close()
    if ending is EndReason.RESTART:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # they wait for the new program
        for _ in range(_UNTIL_HEARD):
            await asyncio.sleep(0)
        if agent.asked_to_leave():
            signal.raise_signal(signal.SIGTERM)  # said meanwhile: the new program is to know
    return ending


async def _watchdog() -> None:
    interval = systemd.watchdog_interval()
    while interval is not None:
        systemd.notify(WATCHDOG=1)
        await asyncio.sleep(interval)
