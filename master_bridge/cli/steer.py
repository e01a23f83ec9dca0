"""`master-bridge drain`, `resume`, `stop`, `restart` and `probe`: orders to agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from contracts.operations.exit_status import ExitStatus
from contracts.readable import shown
from master_bridge.cli.manual import OperatorCommand
from master_bridge.cli.options import Where, broker_options

if TYPE_CHECKING:
    from master_bridge.operating.steering import Order

#: order -> how people read that it was given
_SAID = {
    "drain": "ends what it holds and takes nothing new",
    "resume": "takes work again",
    "leave": "ends what it holds and leaves",
    "stop": "gives its work back and leaves",
    "restart": "begins anew; what runs, runs on",
    "probe": "finds out anew what it can do",
}


_NOT_DONE = "no agent satisfies it, one is not connected any more, or has not done it in time; or the broker refuses"


def _command(name: str, text: str, *, now: bool = False) -> click.Command:
    @click.command(name, help=text, cls=OperatorCommand, failed=_NOT_DONE)
    @click.argument("agents", nargs=-1, metavar="[AGENT]...")
    @click.option("--match", multiple=True, metavar="REQUIREMENT",
                  help="All agents that satisfy this requirement; repeatable; `any`: every agent.")  # fmt: skip
    @click.option("--reason", default="", metavar="TEXT", help="For the logs, and for those who ask why.")
    @click.option("--wait", default=0.0, show_default=True, metavar="SECONDS",
                  help="Wait so long until it has happened; 0: do not wait.")  # fmt: skip
    @click.option("--now", is_flag=True, hidden=not now, help="Do not let what runs end: it runs again elsewhere.")
    @broker_options
    def command(
        where: Where, agents: tuple[str, ...], match: tuple[str, ...], reason: str, wait: float, now: bool
    ) -> None:
        order = "leave" if name == "stop" and not now else name
        _steer(where, order, agents, match, reason, wait)  # type: ignore[arg-type]  # name is one of the orders

    return command


def _steer(
    where: Where, order: Order, names: tuple[str, ...], match: tuple[str, ...], reason: str, wait: float
) -> None:
    from master_bridge.operating.selection import select
    from master_bridge.operating.steering import steer, wait_for
    from master_bridge.operating.survey import Survey

    with where.broker(order) as broker:
        survey = Survey(broker).open().gather()
        chosen = select(survey.agents, names, match)
        told, missed = steer(broker, chosen, order, reason)
        for agent in told:
            click.echo(f"{shown(agent.agent)}: {_SAID[order]}")
        for agent in missed:
            click.echo(f"{shown(agent.agent)}: is not connected any more", err=True)
        if not chosen:
            click.echo("no agent satisfies that", err=True)
        late = wait_for(survey, order, told, wait) if wait else []
        for agent in late:
            click.echo(f"{shown(agent.agent)}: has not done it within {wait:g} s", err=True)
    if missed or late or not chosen:
        click.get_current_context().exit(ExitStatus.FAILED)  # one was not there any more, or did not do it in time


drain = _command("drain", "Let each AGENT end what it holds and take nothing new. They stay connected, state `paused`, "
                 "across restarts too, until `resume`.")  # fmt: skip
resume = _command("resume", "Let each drained AGENT take work again.")
stop = _command("stop", "Let each AGENT end what it holds and exit; with --now at once.", now=True)
restart = _command("restart", "Let the process of each AGENT begin anew, for an upgrade; commands run on.")
probe = _command("probe", "Let each AGENT find out anew what its machine can do.")
