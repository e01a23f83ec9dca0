"""`worker-agent doctor`: the way to the broker, what this account may do there, and this machine."""

from __future__ import annotations

import asyncio
import itertools
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from secrets import token_hex

from aio_pika.abc import AbstractConnection

from contracts import topology
from contracts.codec import decode
from contracts.errors import BadMessage, BadRequirement, UnknownVersion
from contracts.messages import Capability, Catalogue
from contracts.operations.findings import Finding, broker_version, clock
from contracts.operations.office_url import SSH
from contracts.operations.reachability import failed, reach
from contracts.requirements.sets import Requirements
from contracts.timing import CATALOGUE_INTERVAL
from contracts.trust import sealing
from worker_agent.agent.errands import ByUser, Errands, Here
from worker_agent.agent.health import Health, Least
from worker_agent.agent.moving import ways
from worker_agent.agent.pause import PauseFile
from worker_agent.capabilities import BadCapability, detect
from worker_agent.capabilities.abilities import of_program, options_of
from worker_agent.core.availability import Availability, Order
from worker_agent.core.inputs import Input, MessageReceived
from worker_agent.keeper.second_user import SecondUser
from worker_agent.link.amqp.channels import channel_of
from worker_agent.link.amqp.declare import Declared, declare_control_queue, product_of, publish_nothing
from worker_agent.link.amqp.delivery import Delivery, consume
from worker_agent.link.amqp.opening import open_connection
from worker_agent.link.errors import CA_SETTING, LIBRARY_ERRORS, LinkError, loss_of
from worker_agent.link.frames.open_link import OfficeOpenLink
from worker_agent.link.frames.ssh import open_ssh
from worker_agent.link.frames.wires import open_wire
from worker_agent.link.options import LinkOptions
from worker_agent.link.port import Kept, LinkListener
from worker_agent.program.separation import findings as separation_of
from worker_agent.program.settings import Settings

#: Seconds to wait for a master: it tells its columns every 5 s.
MASTER_WITHIN = CATALOGUE_INTERVAL + 1.0


async def examine(settings: Settings) -> list[Finding]:
    """All findings, ordered so that the first failure is to be repaired first."""
    user, separation = await asyncio.to_thread(separation_of, settings)
    errands = Here() if user is None else ByUser(user)
    try:
        capabilities, found = await _capabilities(settings, user, errands)
        tried = user is not None or settings.run_as is None
        seals, sealed = _sealing(settings)
        capabilities += seals
        findings = [*_machine(settings, errands if tried else None), *_pause(settings), separation, found, sealed]
    finally:
        errands.close()
    if settings.amqp_url is None:
        return [*findings, Finding(check="broker", verdict="fail", seen="no broker is set",
                                   remedy="give --url-file, or url in the configuration file")]  # fmt: skip
    from worker_agent.link.options import link_options

    options, moved = await asyncio.to_thread(_place, settings, link_options(settings))
    findings += moved
    if options.is_reached:
        seen, remedy = "its master comes to it, by ssh", "the master's log says how that went"
        return [*findings, Finding(check="masters", verdict="warn", seen=seen, remedy=remedy)]
    if options.is_office:
        findings += [finding async for finding in _master(options, capabilities)]
        return findings

    def context() -> ssl.SSLContext:
        made = options.tls_context()
        assert made is not None  # asked for amqps only
        return made

    way = await asyncio.to_thread(lambda: list(reach(options.address, context, ca=CA_SETTING)))
    findings += way
    if all(finding.verdict != "fail" for finding in way):
        findings += [finding async for finding in _broker(options, capabilities)]
    return findings


def _place(settings: Settings, configured: LinkOptions) -> tuple[LinkOptions, list[Finding]]:
    """Where the agent is, which an operator may have told it."""
    options = ways(configured, settings.state)[0]
    if options is configured:
        return configured, []
    seen = f"an operator has moved this agent to {options.where}, instead of {configured.where}"
    remedy = "write the new URL into its configuration when you have the time; another one that is given there wins"
    return options, [Finding(check="moved", verdict="warn", seen=seen, remedy=remedy)]


async def _master(options: LinkOptions, capabilities: tuple[Capability, ...]) -> AsyncIterator[Finding]:
    """A master that is its own broker: the login, and which columns are for this machine."""
    heard: asyncio.Future[Catalogue] = asyncio.get_running_loop().create_future()

    def note(what: Input) -> None:
        if isinstance(what, MessageReceived) and isinstance(what.message, Catalogue) and not heard.done():
            heard.set_result(what.message)

    link = OfficeOpenLink(
        options,
        topology.control_address(options.user, "doctor", token_hex(4)),
        LinkListener(on_input=note, queue_gone=lambda _: None, sent_to_dead=lambda: None, asked=lambda: None),
        Kept(agent="doctor", deliveries=itertools.count(1)),
        partial(open_ssh, children=set()) if options.office.wire == SSH else open_wire,
    )
    try:
        await link.open()
    except LinkError as error:
        yield _failed(error, "login")
        return
    try:
        yield Finding(check="login", verdict="pass", seen=f"user {options.user} at {options.where}, {link.product}")
        catalogue = await asyncio.wait_for(heard, MASTER_WITHIN)
    except asyncio.TimeoutError:
        yield Finding(check="masters", verdict="warn", seen=f"no columns were told within {MASTER_WITHIN:g} s",
                      remedy="look at the master's log")  # fmt: skip
        return
    finally:
        await link.close()
    for finding in _of_catalogue(catalogue, capabilities):
        yield finding


def _machine(settings: Settings, errands: Errands | None) -> Iterator[Finding]:
    """`errands`: looks at the base directory; None: nobody can, which is said elsewhere."""
    if errands is not None:
        yield from _room(settings, errands)
    folder = settings.state
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    usable = os.access(folder, os.W_OK | os.X_OK)
    yield Finding(
        check="state folder",
        verdict="pass" if usable else "fail",
        seen=str(settings.state) if usable else f"{folder} may not be written to by this user",
        remedy="" if usable else "run this as the agent's user, or choose another --state",
    )


def _pause(settings: Settings) -> Iterator[Finding]:
    """It outlives the process, and the reboot: whoever wonders why no work comes is to know."""
    reason = PauseFile(settings.state).reason
    if reason is not None:
        [seen] = Availability(order=Order.PAUSE, pause=reason).texts()
        yield Finding(check="new work", verdict="warn", seen=seen, remedy="`master-bridge resume` ends the pause")


def _room(settings: Settings, errands: Errands) -> Iterator[Finding]:
    least = Least(
        disk=int(settings.min_free_disk), temp=int(settings.min_free_temp), memory=int(settings.min_free_memory)
    )
    reasons = Health(least, settings.basedir, settings.state, errands=errands).check()
    for reason in reasons:
        yield Finding(check="room", verdict="fail", seen=reason, remedy="free some, or lower --min-free-…")
    if not reasons:
        yield Finding(check="room", verdict="pass", seen="enough disk, temporary space and memory")


async def _capabilities(
    settings: Settings, user: SecondUser | None, errands: Errands
) -> tuple[tuple[Capability, ...], Finding]:
    check = "capabilities"
    try:
        inventory = await detect(options_of(settings, user, errands))
    except BadCapability as error:
        return (), Finding(check=check, verdict="fail", seen=str(error), remedy="correct that option or file")
    found = inventory.capabilities
    broken = [
        f"{failure.path}: {failure.reason}" for failure in inventory.failures if failure.probe == "capabilities.d"
    ]
    if broken:
        return found, Finding(check=check, verdict="fail", seen="; ".join(broken), remedy="correct those files")
    if not found:
        return found, Finding(check=check, verdict="warn", seen="none: only columns that ask for nothing are served",
                              remedy="give --auto-capabilities, or name some with --capability")  # fmt: skip
    return found, Finding(check=check, verdict="pass", seen=f"{len(found)} (see `worker-agent capabilities`)")


def _sealing(settings: Settings) -> tuple[tuple[Capability, ...], Finding]:
    """Not a failure: only columns with `seal=True` ask for it. Tried, not only looked for."""
    check = "sealing"
    reason = sealing.unavailable()
    if reason is not None:
        return (), Finding(check=check, verdict="warn", seen=f"no: {reason}", remedy="only sealed columns need it")
    able = of_program(options_of(settings))
    if not able:
        return (), Finding(check=check, verdict="warn", seen="withheld by --without", remedy="leave that out to seal")
    try:
        sealing.public_key(sealing.new_private(os.urandom))
    except Exception as error:  # whatever a broken installation raises
        return (), Finding(check=check, verdict="fail", seen=f"cryptography does not work: {error}",
                           remedy="install it anew: pip install --force-reinstall cryptography")  # fmt: skip
    return able, Finding(check=check, verdict="pass", seen="sealed columns are served, too")


async def _broker(options: LinkOptions, capabilities: tuple[Capability, ...]) -> AsyncIterator[Finding]:
    try:
        opened = await open_connection(options, "doctor")
    except LinkError as error:
        yield _failed(error, "login")
        return
    connection = opened.connection
    try:
        yield Finding(check="login", verdict="pass", seen=f"user {options.user} at {options.where}")
        for finding in broker_version(product_of(connection)):
            yield finding
        async for finding in _rights(connection, options, capabilities):
            yield finding
    except LinkError as error:
        yield _failed(error, "permissions")
    except LIBRARY_ERRORS as error:
        yield _failed(LinkError(loss_of(error, options, opened.heard)), "permissions")
    finally:
        await opened.close()


def _failed(error: LinkError, check: str) -> Finding:
    if error.failure is not None:
        return failed(error.failure)
    return Finding(check=check, verdict="fail", seen=str(error),
                   remedy="`master-bridge enroll NAME --renew` sets an account's permissions")  # fmt: skip


async def _rights(
    connection: AbstractConnection, options: LinkOptions, capabilities: tuple[Capability, ...]
) -> AsyncIterator[Finding]:
    """Control queue and its bindings, claims under its own name, a master's catalogue, the queues of its columns."""
    await Declared().exchanges(connection)
    heard: asyncio.Future[Catalogue | str] = asyncio.get_running_loop().create_future()

    async def note(message: Delivery) -> None:
        try:
            received: object = decode(message.body, message.headers)
        except UnknownVersion as error:
            received = str(error)
        except BadMessage:
            return
        if isinstance(received, (Catalogue, str)) and not heard.done():
            heard.set_result(received)

    address = topology.control_address(options.user, "doctor", token_hex(4))
    async with channel_of(connection) as channel:
        await declare_control_queue(channel, address)
        await consume(channel, address, note, acknowledged=False)
        # nobody is called that: the broker checks the permission, and has no queue to put it in
        key = topology.claims_key(options.user, "doctor-nobody")
        await publish_nothing(connection, topology.REPLIES, key, user=options.user)
        yield Finding(check="permissions", verdict="pass", seen="control queue, broadcasts, claims in its own name")
        try:
            catalogue = await asyncio.wait_for(heard, MASTER_WITHIN)
        except asyncio.TimeoutError:
            yield Finding(check="masters", verdict="warn", seen=f"none was heard within {MASTER_WITHIN:g} s",
                          remedy="start a master with AMQPBroker on this vhost")  # fmt: skip
            return
    if isinstance(catalogue, str):
        yield Finding(check="versions", verdict="fail", seen=f"a master speaks {catalogue}", remedy="upgrade the older")
        return
    for finding in _of_catalogue(catalogue, capabilities):
        yield finding


def _of_catalogue(catalogue: Catalogue, capabilities: tuple[Capability, ...]) -> Iterator[Finding]:
    yield Finding(check="masters", verdict="pass", seen=f"{catalogue.master} with {len(catalogue.signatures)} columns")
    if catalogue.now:
        yield clock(f"master {catalogue.master}", catalogue.now - time.time())
    yield _columns(catalogue, capabilities)


def _columns(catalogue: Catalogue, capabilities: tuple[Capability, ...]) -> Finding:
    """Not by consuming: an offer that was taken and given back counts as delivered before (rule 15)."""
    able = []
    for signature in catalogue.signatures:
        try:
            if Requirements.from_signature(signature).satisfied_by(capabilities):
                able.append(signature)
        except BadRequirement:
            continue  # of a newer version
    return Finding(
        check="columns",
        verdict="pass" if able else "warn",
        seen=f"qualifies for {len(able)} of {len(catalogue.signatures)}" + (f": {', '.join(able)}" if able else ""),
        remedy="" if able else "`master-bridge why BUILD` says what is missing",
    )
