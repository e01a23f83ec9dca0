"""The command line of the kit: does an agent, in whatever language, keep to the protocol?"""

from __future__ import annotations

from pathlib import Path

import click

from conformance.office.wires import STREAM, WIRES
from contracts.operations.manual import ManualCommand, Section

EPILOG = """\b
The words {url}, {state} and {signature} in COMMAND are replaced: by where the agent
connects to (a relay of the kit on loopback; also in AMQP_URL and WORKER_AGENT_AMQP_URL),
by an empty folder for what it keeps, and by the capability whose queue it is to consume.
With --wire no broker is needed: the agent speaks frames. Over amp and zmq {url} is where it
connects to; over a stream (--stream) {connect} is a program whose standard input and output
are its connection, as those of `ssh` are. Its account is "conformance".

\b
Our own agent:
    master-bridge conformance --amqp-url amqp://guest:guest@localhost/conformance -- \\
        worker-agent --amqp-url {url} --state {state} --capability {signature}
\b
Use a vhost that nobody else uses meanwhile: the queue cap.<signature> is deleted and made anew."""


SECTIONS = (
    Section(title="Environment", words=(("MASTER_BRIDGE_AMQP_URL", "as --amqp-url"),)),
    Section(
        title="Exit status",
        words=(
            ("0", "it does all that an agent must do"),
            ("1", "it does not, or there is no broker"),
            ("2", "wrong use"),
        ),
    ),
)


@click.command(cls=ManualCommand, epilog=EPILOG, sections=SECTIONS)
@click.option(
    "--amqp-url", envvar="MASTER_BRIDGE_AMQP_URL", metavar="URL", help="The broker: amqp://user:password@host/vhost."
)
@click.option(
    "--amqp-url-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="File that holds the URL: a command line can be read by every user of the machine.",
)  # fmt: skip
@click.option("--wire", type=click.Choice(WIRES), help="Without a broker: the agent speaks frames over this.")
@click.option("--stream", is_flag=True, help=f"The same as --wire={STREAM}.")
@click.option("--signature", default="conformance", show_default=True, help="Capability that the agent is to have.")
@click.option(
    "--patience", default=10.0, show_default=True, metavar="SECONDS", type=click.FloatRange(min=0.5),
    help="Wait so long for anything that should come at once.",
)  # fmt: skip
@click.option("--management-url", metavar="URL", help="Cut connections through the management API, without a relay.")
@click.option("--only", multiple=True, metavar="ID", help="Check this requirement, or all under this name; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout; progress goes to stderr.")
@click.option("--list", "as_list", is_flag=True, help="Show the requirements and leave.")
@click.argument("command", nargs=-1)
@click.pass_context
def command(
    context: click.Context,
    amqp_url: str | None,
    amqp_url_file: Path | None,
    wire: str | None,
    stream: bool,
    signature: str,
    patience: float,
    management_url: str | None,
    only: tuple[str, ...],
    as_json: bool,
    as_list: bool,
    command: tuple[str, ...],
) -> None:
    """Play a master against the agent that COMMAND starts, and report which requirements of the protocol it meets."""
    from conformance.run import KitOptions
    from conformance.showing import list_requirements, run

    if as_list:
        list_requirements()
        return
    if amqp_url_file is not None:
        amqp_url = amqp_url_file.read_text(encoding="utf-8").strip()
    if stream:
        wire = STREAM
    if wire is not None:
        amqp_url = None
    elif not amqp_url:
        raise click.UsageError("no broker: give --amqp-url, --amqp-url-file, MASTER_BRIDGE_AMQP_URL or --wire")
    if not command:
        raise click.UsageError("no agent: give the command that starts it after --")
    options = KitOptions(
        url=amqp_url,
        wire=wire or STREAM,
        command=command,
        signature=signature,
        patience=patience,
        management_url=management_url,
        only=only,
    )
    context.exit(run(options, as_json=as_json))
