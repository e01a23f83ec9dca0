"""`master-bridge run`: a command on one agent, or on all that satisfy requirements."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from contracts.operations.exit_status import ExitStatus
from contracts.readable import shown, shown_lines
from master_bridge.cli.manual import OperatorCommand
from master_bridge.cli.options import Where, broker_options

if TYPE_CHECKING:
    from master_bridge.running.answers import AgentResult

#: Exit statuses of `run` beside those of its command.
_STATUS = "the command's own, on one agent; on several: a command ended with another than 0"


class RunCommand(OperatorCommand):
    """Its exit status is the command's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, failed=_STATUS, done="the command ended so, on all agents", **kwargs)
        self._status[ExitStatus.INTERRUPTED] = "Ctrl-C: the command was ended"
        self._status[ExitStatus.NOT_RUN] = (
            "nothing was run: nobody is meant, or the broker cannot be reached; or an agent was lost, or has not "
            "run it to its end"
        )


def on_agents(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that choose agents."""
    function = click.option("--wait", default=60.0, show_default=True, metavar="SECONDS", type=click.FloatRange(min=0),
                            help="So long an agent has to take it; it does beside its builds, also where it is "
                            "drained.")(function)  # fmt: skip
    function = click.option("--match", multiple=True, metavar="REQUIREMENT",
                            help="All agents that satisfy this; repeatable; `any`: every agent.")(function)  # fmt: skip
    return click.option("--on", multiple=True, metavar="AGENT",
                        help="This agent, as `fleet` names it; repeatable.")(function)  # fmt: skip


@contextmanager
def operating(failed: int) -> Iterator[None]:
    """Errors become one line on stderr and this exit status; SIGTERM and a lost terminal are a Ctrl-C. It is logged."""
    from master_bridge.cli.journal_of_commands import journalled
    from master_bridge.operating.errors import OperatingError

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        before[number] = signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with journalled():
            yield
    except OperatingError as error:
        click.echo(f"Error: {shown_lines(str(error))}", err=True)
        raise SystemExit(failed) from None
    except KeyboardInterrupt:
        raise SystemExit(ExitStatus.INTERRUPTED) from None
    except BrokenPipeError:  # whoever read it wants no more; what ran was ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command(cls=RunCommand, context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, metavar="COMMAND...")
@on_agents
@click.option("--env", "variables", multiple=True, metavar="NAME[=VALUE]",
              help="A variable for the command; repeatable. Without VALUE: as here. No value is logged.")  # fmt: skip
@click.option("--workdir", default="", metavar="FOLDER",
              help="Run it there. A relative path is seen from the agent's base directory, the default.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="Kill it after so long. Default: it may take as long as it likes.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each agent, on a line, at the end.")
@broker_options
def command(
    where: Where,
    command: tuple[str, ...],
    on: tuple[str, ...],
    match: tuple[str, ...],
    variables: tuple[str, ...],
    workdir: str,
    timeout: float | None,
    wait: float,
    as_json: bool,
) -> None:
    """Run COMMAND once on each agent that is meant, and print its output as it comes.

    Several words are a program and its arguments; a single one is a line for /bin/sh. It runs beside the builds, as the
    agent's user for commands. With several agents each line begins with its agent's name. A connection that is cut is
    made again, and no byte of output is lost or comes twice; meanwhile the command runs on. Ctrl-C ends it on all
    agents, a second one does not wait for that. What is run is logged by the agents, and here in
    ~/.local/state/buildbot-amqp/operators.jsonl.
    """
    from master_bridge.cli.shown_output import ShownOutput

    environment = dict(map(_variable, variables))
    output = ShownOutput(prefixed=len(on) != 1 or bool(match))
    with operating(ExitStatus.NOT_RUN):
        results = where.fleet().run(
            command[0] if len(command) == 1 else list(command),
            on=on,
            match=match,
            env=environment,
            workdir=workdir,
            timeout=timeout,
            wait=wait,
            on_output=None if as_json else output.write,
        )
        output.finish()
    if as_json:
        for result in results:
            click.echo(json.dumps(_as_json(result)))
    tell_errors(results)
    raise SystemExit(status_of(results))


def tell_errors(results: Sequence[AgentResult]) -> None:
    """On stderr, one line for each agent."""
    for result in results:
        if result.error is not None:
            click.echo(f"{shown(result.agent)}: {shown(result.error)}", err=True)
        elif result.exit_status and len(results) > 1:
            click.echo(f"{shown(result.agent)}: exit status {result.exit_status}", err=True)


def status_of(results: Sequence[AgentResult]) -> int:
    """Of the program: the command's own with one agent."""
    if any(result.exit_status is None for result in results):
        return ExitStatus.NOT_RUN
    if len(results) == 1:
        return int(results[0].exit_status or 0)
    return ExitStatus.FAILED if any(result.exit_status for result in results) else 0


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name:
        raise click.UsageError(f"--env {text!r}: NAME=VALUE, or the name of a variable that is set here")
    if not equals:
        if name not in os.environ:
            raise click.UsageError(f"--env {name}: it is not set here: give NAME=VALUE")
        value = os.environ[name]
    return name, value


def _as_json(result: AgentResult) -> dict[str, Any]:
    return {
        "agent": result.agent,
        "account": result.account,
        "instance": result.instance,
        "exit_status": result.exit_status,
        "error": result.error,
        "seconds": round(result.seconds, 3),
        "stdout": result.stdout.decode("utf-8", "replace"),
        "stderr": result.stderr.decode("utf-8", "replace"),
    }
