"""`master-bridge doctor`: is the broker fit for this? Each check says what it saw and what to change."""

from __future__ import annotations

import re
import shutil
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from contracts import topology
from contracts.operations.findings import Finding, broker_version, clock
from contracts.operations.reachability import failed, reach
from contracts.rabbitmq.facts import QUEUE_CONSUMER_TIMEOUT
from contracts.readable import shown
from contracts.timing import MESSAGE_MAX
from master_bridge.link.errors import BadSettings
from master_bridge.link.settings import TLSSettings, parse_url
from master_bridge.management.client import Management
from master_bridge.operating import declared
from master_bridge.operating.connection import Broker, connect, tls_context
from master_bridge.operating.errors import NotPermitted, OperatingError, Unreachable
from master_bridge.operating.office.link import connect_to_office
from master_bridge.operating.port import OperatorsLink
from master_bridge.operating.survey import Survey

#: Milliseconds of a `consumer_timeout` that a working day's build fits into.
LONG_ENOUGH = 24 * 3600 * 1000
#: What a policy must not say of our queues, and what would come of it.
HARMFUL = {
    "message-ttl": "waiting offers vanish",
    "expires": "queues without an agent vanish with their work",
    "max-length": "offers are dropped or refused",
    "max-length-bytes": "offers are dropped or refused",
    "delivery-limit": "offers vanish after so many redeliveries",
    "dead-letter-exchange": "rejected offers do not come back",
}
#: Folders whose disk matters to a master: spooled uploads and the database.
DISK_LEAST = 1024**3


def examine(url: str, tls: TLSSettings, management: Management | None, ctl: Callable[..., str] | None) -> list[Finding]:
    """All findings, ordered so that the first failure is to be repaired first. Never raises for what it looks at."""
    address = parse_url(url)
    findings = list(reach(address, lambda: _context(tls), ca="--tls-ca"))
    if any(finding.verdict == "fail" for finding in findings):
        return findings
    try:
        with connect(url, tls, purpose="doctor") as broker:
            findings.append(Finding(check="login", verdict="pass", seen=f"{address}"))
            findings += broker_version(broker.product)
            findings += [*_names(broker), *_timeouts(broker, ctl), *_limits(ctl), *_fleet(broker)]
    except Unreachable as error:
        findings.append(failed(error.failure))
    except OperatingError as error:
        findings.append(Finding(check="login", verdict="fail", seen=str(error), remedy="see `master-bridge enroll`"))
    if management is not None:
        findings += _asked(management, address.vhost)
    else:
        findings.append(Finding(check="alarms", verdict="warn", seen="not looked at: no --management-url",
                                remedy="give it, to check alarms, policies and limits"))  # fmt: skip
    findings.append(_disk())
    return findings


def examine_office(url: str | None, folder: Path | None, tls: TLSSettings) -> list[Finding]:
    """Of a master that is its own broker; `folder`: it is known by that. Never raises for what it looks at."""
    findings: list[Finding] = []
    try:
        with connect_to_office(url, folder, tls) as link:
            findings.append(Finding(check="login", verdict="pass", seen=f"as an operator of {link.where}"))
            findings += _fleet(link)
    except Unreachable as error:
        findings.append(failed(error.failure))
    except OperatingError as error:
        findings.append(Finding(check="login", verdict="fail", seen=str(error), remedy="see `master-bridge enroll`"))
    return [*findings, _disk()]


def _context(tls: TLSSettings) -> ssl.SSLContext:
    """Raises ValueError for files that cannot be used."""
    try:
        return tls_context(tls)
    except BadSettings as error:
        raise ValueError(str(error)) from None


def _names(broker: Broker) -> Iterator[Finding]:
    """Exchanges and shared queues are there: a master has been here."""
    missing = declared.missing_exchanges(broker)
    for queue in (topology.PARKED_QUEUE, topology.DEAD_QUEUE):
        try:
            if broker.queue(queue) is None:
                missing.append(queue)
        except OperatingError as error:
            yield Finding(check="permissions", verdict="fail", seen=str(error), remedy="`master-bridge enroll`")
            return
    yield from declared.exchanges(broker)
    if missing:
        yield Finding(check="queues", verdict="warn", seen=f"not there: {', '.join(missing)}",
                      remedy="start a master with AMQPBroker: it makes them")  # fmt: skip
        return
    yield Finding(check="queues", verdict="pass", seen="exchanges and shared queues are there")
    dead = broker.queue(topology.DEAD_QUEUE)
    if dead is not None and dead.ready:
        yield Finding(check="dead letters", verdict="warn", seen=f"{dead.ready} in `dead`",
                      remedy="`master-bridge dead list`")  # fmt: skip


def _timeouts(broker: Broker, ctl: Callable[..., str] | None) -> Iterator[Finding]:
    """An offer is held for as long as its build runs; the broker takes it back after consumer_timeout."""
    if broker.product.version >= QUEUE_CONSUMER_TIMEOUT:
        return  # our queues say it, see `broker_version`
    remedy = "set consumer_timeout = 2592000000 in the broker's rabbitmq.conf (builds go on all the same)"
    if ctl is None:
        yield Finding(check="consumer_timeout", verdict="warn", remedy=remedy,
                      seen=f"{broker.product} cannot be asked over AMQP; give --rabbitmqctl to look")  # fmt: skip
        return
    text = ctl("eval", "application:get_env(rabbit, consumer_timeout).").strip()
    found = re.search(r"ok,(\d+)", text)
    if found is None:
        yield Finding(check="consumer_timeout", verdict="pass", seen="switched off")
    elif int(found[1]) >= LONG_ENOUGH:
        yield Finding(check="consumer_timeout", verdict="pass", seen=f"{int(found[1]) / 3600000:.0f} h")
    else:
        yield Finding(check="consumer_timeout", verdict="warn", seen=f"{int(found[1]) / 60000:.0f} min", remedy=remedy)


def _limits(ctl: Callable[..., str] | None) -> Iterator[Finding]:
    if ctl is None:
        return
    found = re.search(r"ok,(\d+)", ctl("eval", "application:get_env(rabbit, max_message_size)."))
    if found is not None:
        size = int(found[1])
        enough = size >= 2 * MESSAGE_MAX
        yield Finding(
            check="message size",
            verdict="pass" if enough else "fail",
            seen=f"max_message_size {size // 1024**2} MiB",
            remedy="" if enough else f"set max_message_size to at least {2 * MESSAGE_MAX} in rabbitmq.conf",
        )


def _fleet(link: OperatorsLink) -> Iterator[Finding]:
    """Masters and agents are heard, and their clocks agree with ours."""
    try:
        survey = Survey(link).open().gather(masters=True)
    except NotPermitted as error:
        yield Finding(check="fleet", verdict="fail", seen=str(error), remedy="`master-bridge enroll --as operator`")
        return
    except OperatingError as error:
        yield Finding(check="fleet", verdict="warn", seen=str(error), remedy="start a master with AMQPBroker")
        return
    if isinstance(link, Broker):
        yield from declared.queues(link, survey.signatures, survey.masters)
    now = time.time()
    masters, agents = len(survey.masters), len(survey.agents)
    seen = f"{masters} masters and {agents} agents are alive"
    remedies = [*([] if masters else ["no master is connected"]), *([] if agents else ["no agent is connected"])]
    yield Finding(check="fleet", verdict="warn" if remedies else "pass", seen=seen, remedy=", ".join(remedies))
    if not survey.may_ask:
        yield Finding(check="permissions", verdict="warn", seen="this account may not write to bb.control",
                      remedy="use an operator's account to steer agents")  # fmt: skip
    for sender, reason in survey.foreign.items():
        yield Finding(
            check="versions", verdict="fail", seen=f"{sender}: {reason}", remedy="upgrade the older of the two"
        )
    yield from _twice(survey)
    clocks = [("master " + work.master, work.now - now) for work in survey.works]
    clocks += [("agent " + agent.agent, agent.now - now) for agent in survey.agents]
    if clocks:
        # what was told lies up to some seconds back, so only the one that differs most is worth a line
        yield clock(*max(clocks, key=lambda item: abs(item[1])))


def _twice(survey: Survey) -> Iterator[Finding]:
    """Agents of one account that have one name: one machine's file on another, or a state folder that was copied."""
    for name, count in Counter(status.agent for status in survey.agents).items():
        if count > 1:
            yield Finding(
                check="agents",
                verdict="warn",
                seen=f"{count} agents are called {shown(name)}",
                remedy="a machine with another's configuration needs one of its own (`master-bridge enroll`); others "
                "need a --name",
            )


def _asked(management: Management, vhost: str) -> Iterator[Finding]:
    """What only the management API tells. Its answers that are refused are a finding, too."""
    try:
        yield from _nodes(management)
        yield from _policies(management, vhost)
        yield from _vhost_limits(management, vhost)
    except OperatingError as error:
        yield Finding(check="management", verdict="fail", seen=str(error), remedy="give the account the tag monitoring")
        return
    date = management.date()
    if date is not None:
        ahead = parsedate_to_datetime(date).timestamp() - time.time()
        yield clock("the broker", 0.0 if abs(ahead) < 1.5 else ahead)  # HTTP's dates are whole seconds


def _nodes(management: Management) -> Iterator[Finding]:
    for node in management.get("nodes") or ():
        name = node["name"]
        if not node.get("running", True):
            yield Finding(check="nodes", verdict="fail", seen=f"{name} is down", remedy="start it")
            continue
        alarms = [what for what in ("mem_alarm", "disk_free_alarm") if node.get(what)]
        free, limit = node.get("disk_free", 0), node.get("disk_free_limit", 0)
        seen = f"{name}: {free // 1024**2} MiB free on disk (alarm at {limit // 1024**2} MiB)"
        if alarms:
            yield Finding(check="alarms", verdict="fail", seen=f"{name}: {', '.join(alarms)}: publishers are blocked",
                          remedy="free disk or memory on the broker's machine")  # fmt: skip
        elif isinstance(free, int) and free < 3 * limit:
            yield Finding(check="alarms", verdict="warn", seen=seen, remedy="free some disk before the alarm")
        else:
            yield Finding(check="alarms", verdict="pass", seen=seen)
        used, total = node.get("fd_used", 0), node.get("fd_total", 0)
        if total and used > 0.8 * total:
            yield Finding(check="limits", verdict="warn", seen=f"{name}: {used} of {total} file descriptors are used",
                          remedy="raise the broker's LimitNOFILE")  # fmt: skip


def _policies(management: Management, vhost: str) -> Iterator[Finding]:
    harmful = 0
    policies = [*(management.get("policies", vhost) or ()), *(management.get("operator-policies", vhost) or ())]
    for policy in policies:
        matches = [name for name in ("cap.gtk", "claims.m", "events.m") if _matches(policy["pattern"], name)]
        if not matches or policy.get("apply-to") == "exchanges":
            continue
        for key in policy["definition"].keys() & HARMFUL.keys():
            harmful += 1
            yield Finding(
                check="policies",
                verdict="fail",
                seen=f"{policy['name']} sets {key} on {matches[0].split('.')[0]}.*",
                remedy=f"narrow its pattern {policy['pattern']!r}: {HARMFUL[key]}",
            )
    if not harmful:
        yield Finding(check="policies", verdict="pass", seen=f"{len(policies)} policies, none that harms")


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return True  # PCRE knows more than Python: better looked at once too often


def _vhost_limits(management: Management, vhost: str) -> Iterator[Finding]:
    for limits in management.get("vhost-limits", vhost) or ():
        for key, value in limits.get("value", {}).items():
            yield Finding(check="limits", verdict="warn", seen=f"vhost {vhost}: {key} {value}",
                          remedy="each agent takes 2 connections and a queue, each column a queue")  # fmt: skip


def _disk() -> Finding:
    free = shutil.disk_usage(".").free
    enough = free >= DISK_LEAST
    return Finding(check="disk", verdict="pass" if enough else "warn", seen=f"{free // 1024**2} MiB free here",
                   remedy="" if enough else "a master spools uploads and logs: free some")  # fmt: skip


def ctl_of(command: list[str]) -> Callable[..., str]:
    """Runs `command` (rabbitmqctl) with arguments; its output."""
    from master_bridge.management.accounts import CtlAccounts

    accounts: Any = CtlAccounts(command)
    return lambda *arguments: str(accounts.run("-q", *arguments))
