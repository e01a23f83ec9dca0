"""`AMQPBroker`: the one service of a master that owns the link, the machine, the fleet view and the catalogue.

    c['services'].append(util.AMQPBroker(url="amqps://bridge@broker.example.org/", tls={"ca": "/etc/ssl/ca.pem"}))

Without it in the configuration the first AMQP worker makes one with the defaults and the URL in MASTER_BRIDGE_AMQP_URL.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from buildbot import config
from buildbot.util import service, state
from cachetools import FIFOCache
from twisted.internet import defer, task

from contracts import timing
from contracts.messages import FleetMessage, Status
from contracts.operations import memory
from contracts.rabbitmq.arguments import EVENTS_MAX_BYTES
from contracts.topology import address_user, key_word
from contracts.trust.tickets import BadSecret, Tickets, load_secret
from master_bridge.buildbot import logging
from master_bridge.buildbot.bridge import Bridge
from master_bridge.buildbot.broker_settings import default_master_name, wrong_settings
from master_bridge.buildbot.client import Client
from master_bridge.buildbot.fleet.announcements import Announcements
from master_bridge.buildbot.fleet.serving import MetricsPort
from master_bridge.buildbot.fleet.view import FleetView
from master_bridge.buildbot.internals.database import OpenDatabase
from master_bridge.buildbot.internals.fewer_calls import FewerCalls
from master_bridge.buildbot.internals.secret_files import configured_url, reload_secrets
from master_bridge.buildbot.internals.siblings import adopt
from master_bridge.buildbot.internals.stopping import QuickStop
from master_bridge.buildbot.internals.whole_config import SERVICE_NAME, check_whole_configs
from master_bridge.buildbot.output.room import LOOK_EVERY, Room
from master_bridge.buildbot.regularly import Soon, regularly
from master_bridge.buildbot.search import requests, waiting
from master_bridge.buildbot.search.notices import NoAgentNotices
from master_bridge.buildbot.traces.tracing import Tracing
from master_bridge.buildbot.worker_pages import LOOK_EVERY as WORKERS_EVERY
from master_bridge.buildbot.worker_pages import WorkerPages
from master_bridge.core.inputs import Seek
from master_bridge.link.client import Listening
from master_bridge.link.errors import BadSettings
from master_bridge.link.making import make_link, stays
from master_bridge.link.office.link import OfficeLink
from master_bridge.link.port import NOT_STARTED, BridgeLink
from master_bridge.link.settings import HEARTBEAT, LinkSettings, TLSSettings, check_url, url_from_environment
from master_bridge.www.fleet_page import FleetPage

log = structlog.get_logger(__name__)

#: Seconds that a stopping master's broker waits for its sessions to be left, and for the last confirms.
STOP_TIMEOUT = 3.0

#: Seconds from a registered place to a look for builds, put off while more places come, up to the second number.
PLACES_SOON, PLACES_LATEST = 0.1, 2.0
#: In the master's folder: the secret of its tickets (`contracts.trust.tickets`).
TICKETS_FILE = "amqp-tickets.secret"
RESTART_NEEDED = "a new master name, broker user, grace or traces holds from the next start on"
#: Requests whose infrastructure failures are remembered.
FAILURES_KEPT = 1000


check_whole_configs()


class AMQPBroker(state.StateMixin, service.BuildbotService):
    """Where this master and its agents meet, a RabbitMQ broker or the master itself: one service a master, in
    `c["services"]`.

    Without it in the configuration the first `AMQPLatentWorker` makes one with the defaults, and with the URL in the
    environment variable MASTER_BRIDGE_AMQP_URL.

    Args:
        url (text, Secret or Interpolate): Where the broker is: amqp://user:password@host:port/vhost, or amqps://… for
            TLS. Or, without a broker, where this master listens for its agents, with TLS: amp://0.0.0.0:9990 for all
            of its addresses; zmq://0.0.0.0:9991 by ZeroMQ; ssh: by this machine's sshd. A password is better kept in a
            `Secret` or in the environment than in master.cfg.
            Default: the environment variable MASTER_BRIDGE_AMQP_URL.
        master (text): This master's name on the broker: at most 128 letters, digits, "-" and "_". No other master of
            the same virtual host may have it. A new name holds from the master's next start on. Default: made of the
            host and folder that Buildbot names the master by.
        moving_from (text, Secret or Interpolate): The `url` before, while agents move from there to the one of now
            (docs/how-to/moving.md): this master is at both. Default: it is at `url` alone.
        moving_from_tls (dictionary of file names): As `tls`, for `moving_from`.
        tls (dictionary of file names): PEM files for an amqps URL, each of them optional: "ca", the authorities that
            may have signed the broker's certificate (else the system's); "certificate" and "key", this master's own.
            Where the master listens itself it makes a certificate at its first start; "certificate" and "key" are
            another one, "ca" the authorities whose client certificates log agents in.
        queue_type (text): "classic" for a broker of one node, "quorum" for a cluster.
        grace (number; seconds): So long an agent that does not answer may come back before its build runs elsewhere;
            more than 0, at most 3600. A new grace holds from the master's next start on.
        heartbeat (whole number; seconds): Time between AMQP heartbeats, 1 to 600; a connection is given up when two
            are missing.
        events_max_bytes (whole number; bytes): So much the agents may publish ahead while this master is down; from
            1 MiB on. What does not fit stays in their journals and is sent later.
        signing_key (file): The Ed25519 key that signs what this master sends to agents, made by `master-bridge keygen`.
            Without it nothing is signed, and agents with a `trusted_key` take no work of this master.
        metrics_port (whole number; port): Serve /metrics, /live and /ready on this port; 0: any free port, which the
            log names. Default: they are not served.
        metrics_host (text): The address of this machine on which they are served.
        traces (True or False): Send a trace of each build by OTLP, as OpenTelemetry's environment variables OTEL_… say;
            needs the extra "otel". Another value holds from the master's next start on.
    """

    name = SERVICE_NAME
    secrets = ("url", "moving_from")

    def checkConfig(self, *positional: Any, **settings: Any) -> None:
        """From Buildbot: names every wrong argument, with its remedy, in `config.error`."""
        if positional:  # not shown: a URL, perhaps, with its password
            config.error("AMQPBroker: each argument by its name: util.AMQPBroker(url=…, master=…)")
            return
        for problem in wrong_settings(**settings):
            config.error(f"AMQPBroker: {problem}")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.pop("name", SERVICE_NAME) != SERVICE_NAME:
            config.error(
                "AMQPBroker: name: a master has one broker, whose name is not chosen; `master` names the master"
            )
        super().__init__(*args, **kwargs)
        self.fleet = FleetView()
        self.page = FleetPage(self)
        self._worker_pages = WorkerPages(self)
        self.room = Room(lambda: self.master)
        self.bridge: Bridge | None = None
        self.link: BridgeLink | None = None
        self.settings: LinkSettings | None = None
        #: the place that the fleet is leaving
        self._moving_from: LinkSettings | None = None
        #: why nothing can be brokered any more; None while all is well
        self.stopped_reason: str | None = None
        self._grace = timing.GRACE
        self._timers: list[task.LoopingCall] = []
        self._database = OpenDatabase()
        self._fewer_calls = FewerCalls()
        self._quick_stop: QuickStop | None = None
        self._notices = NoAgentNotices()
        self._announcements = Announcements(self)
        self._builds_soon = Soon(PLACES_SOON, PLACES_LATEST, self._look_for_builds)
        #: builders of places that were registered just now
        self._builders: set[str] = set()
        self._failures: FIFOCache[str, int] = FIFOCache(FAILURES_KEPT)
        self._metrics_port = MetricsPort(self)
        self._traces = False
        self._tracing = Tracing()

    @property
    def configured_url(self) -> Any:
        """As it stands in master.cfg: a text, something that is rendered, or None, which means the environment's."""
        return self._config_kwargs.get("url") or url_from_environment()

    # -- life ---------------------------------------------------------------------------------------------------------

    @defer.inlineCallbacks
    def reconfigService(
        self,
        url: Any = None,
        master: str | None = None,
        tls: dict[str, str] | None = None,
        moving_from: Any = None,
        moving_from_tls: dict[str, str] | None = None,
        queue_type: Any = "classic",
        grace: float = timing.GRACE,
        heartbeat: int = HEARTBEAT,
        events_max_bytes: int = EVENTS_MAX_BYTES,
        signing_key: str | None = None,
        metrics_port: int | None = None,
        metrics_host: str = "127.0.0.1",
        traces: bool = False,
    ) -> Any:
        """Takes a new URL or queue setting at once; a new master name, broker user or grace at its next start."""
        logging.configure()
        yield super().reconfigService()
        if url is not None and not isinstance(url, str):
            url = yield self.renderSecrets(url)
        if moving_from is not None and not isinstance(moving_from, str):
            moving_from = yield self.renderSecrets(moving_from)
        yield self._metrics_port.serve(metrics_host, metrics_port)
        settings = left = None
        try:
            settings = LinkSettings(
                url=url or url_from_environment() or "",
                master=master or default_master_name(self.master.name),
                tls=TLSSettings(**tls) if tls is not None else None,
                queue_type=queue_type,
                heartbeat=heartbeat,
                events_max_bytes=events_max_bytes,
                signing_key=signing_key,
            )
            if moving_from is not None:
                old_tls = TLSSettings(**moving_from_tls) if moving_from_tls is not None else None
                left = replace(settings, url=moving_from, tls=old_tls)
                left.left_for(settings)
        except BadSettings as error:  # a rendered secret is checked here only
            settings = None
            self._stopped(f"AMQPBroker: {error}")
        if self.bridge is not None and self.settings is not None and settings is not None:
            same = settings.master == self.settings.master and settings.user == self.settings.user
            if not same or (grace, traces) != (self._grace, self._traces):
                log.warning("amqp.restart_needed", detail=RESTART_NEEDED)
            if not same or grace != self._grace:
                return
            if (settings, left) != (self.settings, self._moving_from):
                yield self._relink(settings, left)
        elif settings is not None:
            self.settings, self._grace, self._traces = settings, grace, traces
            self._moving_from = left

    @defer.inlineCallbacks
    def reconfigServiceWithSibling(self, sibling: Any) -> Any:
        yield super().reconfigServiceWithSibling(sibling)
        adopt(self, sibling)

    @defer.inlineCallbacks
    def startService(self) -> Any:
        """From Buildbot: connects, once the configuration was read without errors."""
        yield super().startService()
        memory.keep()
        yield self._database.keep(self.master)
        self._fewer_calls.keep(self.master)
        if self.settings is None:
            return
        try:
            user = key_word(self.settings.user)
            tickets = Tickets(load_secret(Path(self.master.basedir, TICKETS_FILE)), master=self.settings.master)
        except (BadSecret, BadSettings) as error:
            self._stopped(f"AMQPBroker: {error}")
            return
        self.bridge = Bridge(
            reactor=self.master.reactor,
            master=self.settings.master,
            user=user,
            tickets=tickets,
            grace=self._grace,
            check=requests.LookUps(self.master).is_complete,
            on_link=self._link_changed,
            on_fleet=self._fleet_heard,
            on_returned=self.page.returned,
            on_stopped=self._stopped,
        )
        if self._traces:
            yield self._tracing.begin(self.master, self.settings.master, tickets, self.bridge)
        self._quick_stop = QuickStop(self.master, self.bridge.quick_stop)
        self._link(self.settings)
        self._every(timing.CATALOGUE_INTERVAL, self._announcements.publish_catalogue)
        self._every(timing.ALIVE_INTERVAL, self._announcements.want_statuses)
        self._every(LOOK_EVERY, self.room.look)
        self._every(memory.GIVE_BACK_EVERY, memory.give_back)
        self._every(waiting.REFRESH, self._announcements.publish_work)
        self._every(waiting.REFRESH, self._refresh_waiting)
        self._every(waiting.REFRESH, self.page.look)
        self._every(WORKERS_EVERY, self._worker_pages.look)
        yield self._announcements.begin()
        yield self.page.begin()

    @defer.inlineCallbacks
    def stopService(self) -> Any:
        """After the workers have left their sessions, or `STOP_TIMEOUT` at most: services stop side by side."""
        for timer in self._timers:
            timer.stop()
        self._builds_soon.cancel()
        self._announcements.end()
        if self._quick_stop is not None:
            self._quick_stop.forget()
        yield self._metrics_port.serve("", None)
        yield self.page.end()
        yield self._worker_pages.leave()
        self._timers.clear()
        bridge, link = self.bridge, self.link
        if bridge is not None and link is not None:
            deadline = time.monotonic() + STOP_TIMEOUT
            while bridge.clients and time.monotonic() < deadline:
                yield task.deferLater(self.master.reactor, 0.05)
            bridge.stop()
            yield link.stop(STOP_TIMEOUT)
        self.bridge = self.link = None
        yield self._tracing.end(self.master.reactor, STOP_TIMEOUT)
        self._fewer_calls.release()
        self._database.release()
        yield super().stopService()

    def _link(self, settings: LinkSettings, staying: OfficeLink | None = None) -> None:
        assert self.bridge is not None
        self.link = make_link(
            self.master.reactor,
            settings,
            self.bridge,
            folder=Path(self.master.basedir),
            renew_url=self._renew_url,
            moving_from=self._moving_from,
            staying=staying,
        )
        self.bridge.link = self.link
        self.link.start()

    @defer.inlineCallbacks
    def _relink(self, settings: LinkSettings, moving_from: LinkSettings | None) -> Any:
        """Agents at a place that stays notice nothing of it."""
        old, self.settings, self.stopped_reason = self.link, settings, None
        self._moving_from = moving_from
        staying = stays(old, settings, moving_from)
        if staying is not None:
            staying.leave("the configuration changes")
        if old is not None:
            yield old.stop()
        if self.bridge is not None:
            self._link(settings, staying)
        elif staying is not None:  # the service was stopped meanwhile
            staying.take_over(Listening(None))
            yield staying.stop()

    @defer.inlineCallbacks
    def _renew_url(self) -> Any:
        """The URL as its secret has it now. Raises `BadSettings` for one that cannot be used."""
        configured = configured_url(self)
        if configured is None:
            return self.settings.url if self.settings is not None else ""
        yield reload_secrets(self.master)
        url = str((yield self.renderSecrets(configured)))
        check_url(url)
        return url

    def _stopped(self, reason: str) -> None:
        self.stopped_reason = reason
        log.error("amqp.broker_unusable", reason=reason)

    def _every(self, seconds: float, work: Any) -> None:
        self._timers.append(regularly(self.master.reactor, seconds, getattr(work, "__name__", "timer"), work))

    # -- asked by workers and steps -----------------------------------------------------------------------------------

    @property
    def down_reason(self) -> str | None:
        """Why the broker is out of reach, for people; None while the link is up."""
        if self.stopped_reason is not None:
            return self.stopped_reason
        if self.link is None or self.link.down_reason == NOT_STARTED:
            return "connecting to it" if self.link is not None else NOT_STARTED
        return self.link.down_reason

    def seek(self, client: Client, seek: Seek) -> None:
        """Ask for an agent; without a bridge nothing happens until there is one."""
        if self.bridge is None:
            log.warning("amqp.not_running", request=seek.request, reason=self.down_reason)
            return
        self.bridge.seek(client, seek)

    def columns_changed(self) -> None:
        """A worker's requirements are others now: the fleet is told."""
        self._announcements.columns_changed()

    def look_for_builds(self, builder: str) -> None:
        """A place of its was registered. Each look asks all places, so there is one for all that come together."""
        self._builders.add(builder)
        self._builds_soon.ask(self.master.reactor)

    def _look_for_builds(self) -> None:
        builders, self._builders = self._builders, set()
        for builder in sorted(builders):
            self.master.botmaster.maybeStartBuildsForBuilder(builder)

    def count_infrastructure_failure(self, request: str) -> int:
        """How often a machine failed under this request, this time included."""
        count = self._failures.get(request, 0) + 1
        self._failures[request] = count
        return count

    # -- the fleet ----------------------------------------------------------------------------------------------------

    def _link_changed(self, up: bool) -> None:
        if up:
            self._announcements.publish_catalogue()
        self._refresh_waiting()

    def _fleet_heard(self, message: FleetMessage) -> None:
        if isinstance(message, Status) and self.bridge is not None:
            self.bridge.agent_heard(message, address_user(message.address))
        self.page.hear(message)
        if self.fleet.hear(message, time.monotonic()):
            self._announcements.columns_changed()  # for the new one; after a master's start all are new

    def _refresh_waiting(self) -> None:
        if self.bridge is not None:
            for client in (clients := list(self.bridge.clients.values())):
                client.refresh()
            waiters = [*self.master.workers.workers.values(), *clients]
            self._notices.look(waiters, self.fleet, self.down_reason)
