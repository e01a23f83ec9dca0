"""Prometheus metrics and health of a bridge on a port of the master's own, served by the reactor."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from twisted.web.resource import Resource
from twisted.web.server import Site

from contracts.requirements.sets import Requirements
from master_bridge.buildbot.fleet import catalogue
from master_bridge.buildbot.fleet.figures import Figures
from master_bridge.buildbot.fleet.labels import AGENTS, OTHERS, columns, label
from master_bridge.fleet.demand import demand

PREFIX = "buildbot_amqp_"
#: States of a request, each with a number, also 0.
STATES = ("window", "waiting", "granted", "held", "missing", "unasked")
#: The same of an agent.
AGENT_STATES = ("idle", "busy", "starting", "paused", "draining", "unwell", "leaving", "silent")

#: Of each column: what it says, and labels beside the column.
COLUMN_GAUGES = {
    "column_slots": ("Slots of agents that qualify.", "state"),
    "column_utilisation_ratio": ("Share of those slots that is busy, 0 to 1; 0 where there is none.",),
    "column_agents": ("Live agents that qualify and take work.",),
    "column_demand_slots": ("Slots that its requests want now: those that wait, and those that run.", "state"),
    "column_oldest_wait_seconds": ("How long its oldest request waits.",),
    "column_unserved_seconds": ("How long its oldest request waits with no agent that qualifies.",),
}


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
        """Per column, which is a signature here: what it wants, and what live agents that qualify have."""
        broker, now = self._broker, time.monotonic()
        gauges = {
            name: GaugeMetricFamily(f"{PREFIX}{name}", text, labels=["column", *labels])
            for name, (text, *labels) in COLUMN_GAUGES.items()
        }
        living = list(broker.fleet.agents(now))
        signatures = catalogue.signatures(broker.master, broker.bridge.clients.values())
        demands = demand(broker.bridge.machine.requests(), signatures)
        for signature in columns(demands):
            column = demands[signature]
            requirements = Requirements.from_signature(signature)
            able = [each for each in living if requirements.satisfied_by(each.capabilities)]
            able = [each for each in able if each.state in ("ready", "starting")]
            states = [slot.state for each in able for slot in each.for_builds if slot.state != "aside"]
            busy = len(states) - states.count("idle")
            waits = now - column.oldest if column.oldest is not None else 0.0
            gauges["column_slots"].add_metric([signature, "free"], len(states) - busy)
            gauges["column_slots"].add_metric([signature, "busy"], busy)
            gauges["column_utilisation_ratio"].add_metric([signature], busy / len(states) if states else 0.0)
            gauges["column_agents"].add_metric([signature], len(able))
            gauges["column_demand_slots"].add_metric([signature, "waiting"], column.waiting)
            gauges["column_demand_slots"].add_metric([signature, "running"], column.running)
            gauges["column_oldest_wait_seconds"].add_metric([signature], waits)
            gauges["column_unserved_seconds"].add_metric([signature], waits if not able else 0.0)
        yield from gauges.values()


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


class PageCollector:
    """What people see on the fleet's page: machines, expected waits, orders. As `Collector`."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker

    def collect(self) -> Iterator[Metric]:
        feed = self._broker.page.feed
        agents = sorted(feed.agents, key=lambda known: (known.status.agent, known.id))
        states = Counter(known.state for known in agents)
        told = GaugeMetricFamily(f"{PREFIX}agents", "Agents that were heard of today, by state.", labels=["state"])
        for state in AGENT_STATES:
            told.add_metric([state], states[state])
        yield told
        yield self._slots(agents)
        yield _expected(self._broker)
        yield _orders(self._broker.page.ordered)

    def _slots(self, agents: Iterable[Any]) -> Metric:
        """Of machines: none of one that is silent."""
        slots: dict[tuple[str, str, str], int] = {}
        for number, known in enumerate(known for known in agents if known.state != "silent"):
            named = (label(known.status.agent), label(known.id.partition("/")[0]))
            name, account = named if number < AGENTS else (OTHERS, OTHERS)
            for state, count in (("busy", known.busy), ("free", known.free)):
                slots[name, account, state] = slots.get((name, account, state), 0) + count
        family = GaugeMetricFamily(
            f"{PREFIX}agent_slots", "Slots of each agent that is heard.", labels=["agent", "account", "state"]
        )
        for labels, count in slots.items():
            family.add_metric(labels, count)
        return family


def _expected(broker: Any) -> Metric:
    """The longest likely wait of a column: of the last in its line."""
    family = GaugeMetricFamily(
        f"{PREFIX}column_expected_wait_seconds", "When the last request that waits now will likely have an agent.",
        labels=["column"],
    )  # fmt: skip
    now, waits = time.time(), dict[str, float]()
    for view in broker.bridge.machine.requests() if broker.bridge is not None else ():
        expected = broker.page.feed.expected.get(view.request)
        if expected is not None and view.session is None:
            waits[view.signature] = max(waits.get(view.signature, 0.0), expected.likely - now)
    for signature in columns(waits):
        family.add_metric([signature], max(0.0, waits[signature]))
    return family


def _orders(ordered: Counter[tuple[str, str]]) -> Metric:
    family = CounterMetricFamily(
        f"{PREFIX}orders", "Orders to agents from this master's page, by order and by who gave them.",
        labels=["order", "who"],
    )  # fmt: skip
    for (order, who), number in ordered.items():
        family.add_metric([order, who], number)
    return family


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
    registry.register(PageCollector(broker))

    def yes_or_no(good: bool) -> tuple[int, str, bytes]:
        return (200, "text/plain", b"yes\n") if good else (503, "text/plain", b"no\n")

    root = Resource()
    root.putChild(b"metrics", _Page(lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry))))
    root.putChild(b"live", _Page(lambda: yes_or_no(True)))
    root.putChild(b"ready", _Page(lambda: yes_or_no(_up(broker))))
    made = Site(root)
    made.noisy = False
    return made
