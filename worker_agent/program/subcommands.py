"""The subcommands of `worker-agent`. Each imports what it needs when it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import click

from contracts.operations.exit_status import ExitStatus
from contracts.readable import shown, shown_lines
from worker_agent.program.loading import GIVE_BACK, Given, settings_of, unknown_variables

#: The subcommand that is an agent, as no subcommand is.
RUN = "run"


def subcommands(work: Callable[[click.Context], None]) -> list[click.Command]:
    """`work`: what an agent does without a subcommand. The context's `obj` is what is `Given` before the subcommand."""

    @click.command(name=RUN, help="Work. The same as without a subcommand.")
    @click.pass_context
    def run(context: click.Context) -> None:
        work(context)

    @click.command(
        name=GIVE_BACK,
        help="End what an agent that was killed has left running here, and tell its masters, which have it run "
        "elsewhere. Agents that no service manager watches start this by themselves.",
    )
    @click.pass_context
    def give_back(context: click.Context) -> None:
        from worker_agent.program.run import run as run_agent

        context.exit(run_agent(settings_of(context.obj), unknown_variables()))

    @click.command(help="Show what is found on this machine, and how.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @click.pass_context
    def capabilities(context: click.Context, as_json: bool) -> None:
        from worker_agent.agent.errands import ByUser, Here
        from worker_agent.capabilities import BadCapability, detect
        from worker_agent.capabilities.abilities import options_of
        from worker_agent.capabilities.report import show
        from worker_agent.keeper.second_user import NoSecondUser
        from worker_agent.program.separation import second_user

        settings = settings_of(context.obj).model_copy(update={"auto_capabilities": True})
        try:
            user = second_user(settings)
            errands = Here() if user is None else ByUser(user)
            inventory = asyncio.run(detect(options_of(settings, user, errands)))
        except NoSecondUser as error:
            raise click.ClickException(f"--run-as {settings.run_as}: {error}") from None
        except BadCapability as error:
            raise click.UsageError(f"--capability or --without: {error}") from None
        click.echo(shown_lines(show(inventory, as_json=as_json)))  # as programs of this machine say it

    @click.command(help="Show the queues that this machine's agent serves; 1 when it is not seen.")
    @click.option(
        "--wait",
        default=15.0,
        show_default=True,
        metavar="SECONDS",
        help="Wait so long for it to be seen at the broker.",
    )
    @click.pass_context
    def columns(context: click.Context, wait: float) -> None:
        from worker_agent.reporting.columns import columns_of
        from worker_agent.state_files import StateUnreadable

        settings = settings_of(context.obj)
        try:
            seen = asyncio.run(columns_of(settings.state, wait))
        except StateUnreadable as error:
            raise click.ClickException(str(error)) from None
        if seen is None:
            click.echo(
                f"worker-agent: {settings.name} was not seen at the broker within {wait:g} s (it works with "
                f"{settings.state}; its log says why)",
                err=True,
            )
            context.exit(ExitStatus.FAILED)
        for queue in seen:
            click.echo(shown(queue))  # as masters name them
        if not seen:
            click.echo("seen at the broker; no column asks for what this machine has yet", err=True)

    @click.command(help="Check the way to the broker, this account's permissions, and this machine.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @click.pass_context
    def doctor(context: click.Context, as_json: bool) -> None:
        from contracts.operations.findings import report, status
        from worker_agent.program import logs
        from worker_agent.program.doctor import examine

        settings = settings_of(context.obj)
        logs.configure(form=settings.log_format, level="error")  # the report says all, and stdout is for it alone
        findings = asyncio.run(examine(settings))
        click.echo(report(findings, as_json=as_json))
        context.exit(status(findings))

    @click.command(
        help="Join standard input and output to this machine's agent, for the ssh of a master that reaches it; start "
        "it where none runs. It goes on when the ssh ends. With --url stdio:ACCOUNT."
    )
    @click.pass_context
    def attach(context: click.Context) -> None:
        from worker_agent.program.attaching import attach as attach_to_agent

        given: Given = context.obj
        context.exit(attach_to_agent(settings_of(given), given.present, given.config))

    @click.command(help="Check the settings, without the broker; 2 when an agent cannot work with them.")
    @click.pass_context
    def check(context: click.Context) -> None:
        from worker_agent.program.checking import wrong_here

        settings = settings_of(context.obj)
        found = wrong_here(settings)
        if found is not None:
            click.echo(f"worker-agent: {found}", err=True)
            context.exit(ExitStatus.USAGE)
        click.echo(f"{settings.config_file or 'the settings'}: an agent can work with this")

    return [run, capabilities, columns, doctor, attach, check, give_back]
