"""Prometheus metrics and health of a bridge on a port of the master's own, served by the reactor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from twisted.web.resource import Resource
from twisted.web.server import Site

from contracts.requirements.sets import Requirements
from master_bridge.buildbot.fleet import catalogue
from master_bridge.buildbot.fleet.figures import Figures

PREFIX = "buildbot_amqp_"
#: States of a request, each with a number, also 0.
STATES = ("window", "waiting", "granted", "held", "missing", "unasked")


class Collector:
    """Reads an `AMQPBroker` when somebody asks, in the reactor's thread."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker

    def collect(self) -> Iterator[Metric]:
        """From prometheus_client: all figures, as they are now."""
        broker = self._broker
        link, bridge = broker.link, broker.bridge
        yield GaugeMetricFamily(f"{PREFIX}up", "1 while the link to the broker is up.", value=float(_up(broker)))
        unconfirmed = link.unconfirmed if link is not None else 0
        yield GaugeMetricFamily(f"{PREFIX}unconfirmed_publications", "Publications without a confirm.", unconfirmed)
        foreign = link.foreign.heard if link is not None else 0
        text = "Messages in versions of the protocol that this bridge does not speak."
        yield CounterMetricFamily(f"{PREFIX}other_versions", text, value=foreign)
        if bridge is None:
            return
        yield from _counters(bridge.figures)
        yield from _requests(bridge.machine.requests())
        yield from self._columns()

    def _columns(self) -> Iterator[Metric]:
        """Per column, which is a signature here: slots of live agents that qualify, and how many agents that is."""
        broker, now = self._broker, time.monotonic()
        slots = GaugeMetricFamily(f"{PREFIX}column_slots", "Slots of agents that qualify.", labels=["column", "state"])
        agents = GaugeMetricFamily(
            f"{PREFIX}column_agents", "Live agents that qualify and take work.", labels=["column"]
        )
        unserved = GaugeMetricFamily(
            f"{PREFIX}column_unserved_seconds", "How long its oldest request waits with no agent that qualifies.",
            labels=["column"],
        )  # fmt: skip
        living = list(broker.fleet.agents(now))
        waiting: dict[str, float] = {}
        for view in broker.bridge.machine.requests():
            if view.state in ("window", "waiting"):
                waiting[view.signature] = min(waiting.get(view.signature, now), view.since)
        for signature in sorted(catalogue.signatures(broker.master, broker.bridge.clients.values())):
            requirements = Requirements.from_signature(signature)
            able = [each for each in living if requirements.satisfied_by(each.capabilities)]
            able = [each for each in able if each.state in ("ready", "starting")]
            states = [slot.state for each in able for slot in each.slots if slot.state != "aside"]
            slots.add_metric([signature, "free"], states.count("idle"))
            slots.add_metric([signature, "busy"], len(states) - states.count("idle"))
            agents.add_metric([signature], len(able))
            since = waiting.get(signature)
            unserved.add_metric([signature], now - since if since is not None and not able else 0.0)
        yield slots
        yield agents
        yield unserved


def _counters(figures: Figures) -> Iterator[Metric]:
    for name, text, value in (
        ("offers", "Offers that were published.", figures.offers),
        ("claims", "Claims of agents.", figures.claims),
        ("resumes", "Resumes of agents.", figures.resumes),
        ("grants", "Grants that were sent, repetitions included.", figures.grants),
        ("refusals", "Claims and resumes that were refused or put off.", figures.refusals),
        ("events", "Events of agents, repetitions included.", figures.events),
        ("log_bytes", "Bytes of output and files in them.", figures.log_bytes),
        ("sessions_lost", "Sessions that ended without a result.", figures.lost),
        ("dead_letters", "What this bridge put into `dead`.", figures.dead_letters),
        ("links", "Links to the broker that were made: reconnects and one.", figures.links),
        ("links_lost", "Links that were lost.", figures.links_lost),
    ):
        yield CounterMetricFamily(PREFIX + name, text, value=value)
    rejected = CounterMetricFamily(
        f"{PREFIX}rejected_messages", "Messages that were not believed or could not be read, by account.",
        labels=["account"],
    )  # fmt: skip
    for account, number in figures.rejected.items():
        rejected.add_metric([account], number)
    yield rejected
    alarms = CounterMetricFamily(f"{PREFIX}alarms", "What should not have happened, by kind.", labels=["kind"])
    for kind, number in figures.alarms.items():
        alarms.add_metric([kind], number)
    yield alarms
    for name, text, histogram in (
        ("queue_wait_seconds", "From the wish for an agent to its accept.", figures.queue_wait),
        ("claim_latency_seconds", "From a claim's arrival to its accept.", figures.claim_latency),
    ):
        yield HistogramMetricFamily(PREFIX + name, text, buckets=histogram.buckets, sum_value=histogram.sum)


def _requests(views: Any) -> Iterator[Metric]:
    found = [view.state for view in views]
    states = GaugeMetricFamily(f"{PREFIX}requests", "Requests by state; held ones are sessions.", labels=["state"])
    for state in STATES:
        states.add_metric([state], found.count(state))
    yield states
    unstored = sum(max(0, view.delivered - view.stored) for view in views)
    yield GaugeMetricFamily(f"{PREFIX}unstored_events", "Events that Buildbot was given and has not stored.", unstored)


def _up(broker: Any) -> bool:
    return broker.link is not None and bool(broker.link.up)


class _Page(Resource):
    isLeaf = True

    def __init__(self, answer: Callable[[], tuple[int, str, bytes]]) -> None:
        super().__init__()
        self._answer = answer

    def render_GET(self, request: Any) -> bytes:
        code, kind, body = self._answer()
        request.setResponseCode(code)
        request.setHeader("Content-Type", kind)
        return body


def site(broker: Any) -> Site:
    """/metrics, /live (the reactor turns, since it answers) and /ready (the link is up)."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(broker))

    def yes_or_no(good: bool) -> tuple[int, str, bytes]:
        return (200, "text/plain", b"yes\n") if good else (503, "text/plain", b"no\n")

    root = Resource()
    root.putChild(b"metrics", _Page(lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry))))
    root.putChild(b"live", _Page(lambda: yes_or_no(True)))
    root.putChild(b"ready", _Page(lambda: yes_or_no(_up(broker))))
    made = Site(root)
    made.noisy = False
    return made
