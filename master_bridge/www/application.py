"""The page over HTTP, below `plugins/amqp_fleet/`.

    GET  fleet?incarnation=…&at=…   all that is shown, or what has changed since (`feed.Feed.told`)
    GET  match?requirement=gtk>=3   ids of the agents that offer it
    GET  agent?id=…                 one agent: its changes, orders, last builds, busy times of the last 24 hours
    GET  orders                     the newest orders, and which this viewer may give
    GET  dead                       messages in `dead`
    POST orders                     {"order": …, "agents": [id, …], "reason": …}

Every answer is JSON. All ask Buildbot's authorization first, with the endpoint ("amqp", "fleet") and the action "get"
or the order's name. An order wants a JSON body and, as Buildbot's own REST API does, an Origin that is allowed, so that
no other site's page can give one in a viewer's name.
"""

from __future__ import annotations

import fnmatch
import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import structlog
from buildbot.www.plugin import Application
from buildbot.www.resource import Resource
from twisted.internet import defer
from twisted.web import static
from twisted.web.error import Error

from contracts.errors import BadRequirement
from contracts.operations.program_version import version
from contracts.readable import shown
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.internals import agent_builds
from master_bridge.fleet.agents import TEXT_SHOWN
from master_bridge.link.errors import LinkError
from master_bridge.www.authorization import ENDPOINT
from master_bridge.www.feed import Feed
from master_bridge.www.fleet_page import FleetPage
from master_bridge.www.orders import AT_ONCE, ORDERS

log = structlog.get_logger(__name__)

JSON = "application/json"
#: Bytes of an order's body; orders and builds in an answer.
BODY_MAX, ORDERS_SHOWN, BUILDS_SHOWN = 1_000_000, 200, 50
#: A row version, as `fleet` gives it; anything else is answered as a first question.
_AT = re.compile(r"[0-9]{1,18}", re.ASCII)
#: Seconds of the picture of an agent's day.
DAY = 86_400.0


class FleetApplication(Application):
    """Made once a process, by Buildbot, before there is a master."""

    def __init__(self) -> None:
        # Not Buildbot's own, which wants the version in a file of the package: ours is in its metadata.
        self.description = "The fleet of AMQP agents"
        self.version = version()
        self.static_dir = Path(__file__).parent / "static"
        self.resource = _Static(str(self.static_dir))
        self.ui = True

    def setMaster(self, master: Any) -> None:
        super().setMaster(master)
        for name, resource in (
            (b"fleet", FleetResource(master)),
            (b"match", MatchResource(master)),
            (b"agent", AgentResource(master)),
            (b"orders", OrdersResource(master)),
            (b"dead", DeadResource(master)),
        ):
            self.resource.putChild(name, resource)


class _Static(static.File):
    """Looked at anew each time: after an upgrade no browser goes on with the old script."""

    def render_GET(self, request: Any) -> Any:
        request.setHeader(b"cache-control", b"no-cache")
        return super().render_GET(request)

    def createSimilarFile(self, path: Any) -> Any:
        return _Static(path)


class FeedResource(Resource):
    """Base of all: asks for authorization, finds the feed, writes JSON. `answer` gives what is written."""

    isLeaf = True

    def render_GET(self, request: Any) -> int:
        return int(self.asyncRenderHelper(request, self._get, _write_error(request)))

    @defer.inlineCallbacks
    def _get(self, request: Any) -> Any:
        yield self.master.www.assertUserAllowed(request, ENDPOINT, "get", {})
        found = yield defer.maybeDeferred(self.answer, request, self.feed())
        return _json(request, found)

    def answer(self, request: Any, feed: Feed) -> Any:
        """What is sent as JSON. Raises `Error` with an HTTP status."""
        raise NotImplementedError

    def feed(self) -> Feed:
        return self.page().feed

    def page(self) -> FleetPage:
        """Raises `Error` 503 where the master has no broker (any more)."""
        # not above: Buildbot loads this module in every master, where it is to change nothing
        from master_bridge.buildbot.broker_of_master import running_broker

        broker = running_broker(self.master)
        if broker is None:
            raise Error(503, b"this master has no AMQPBroker that runs")
        return broker.page


class FleetResource(FeedResource):
    """GET: the agents, columns and waiting builds of the page, as one JSON document."""

    @defer.inlineCallbacks
    def answer(self, request: Any, feed: Feed) -> Any:
        yield self.page().look_at_pending()
        since = _argument(request, "at")
        return feed.answer(_argument(request, "incarnation"), int(since) if _AT.fullmatch(since) else 0)


class MatchResource(FeedResource):
    """GET: which agents meet the given requirements, and what the others lack."""

    def answer(self, request: Any, feed: Feed) -> Any:
        text = _argument(request, "requirement").strip(" ,;")
        try:
            wanted = Requirements.of([text] if text else [])
        except BadRequirement as error:
            return {"error": shown(error)}
        return {"agents": [known.id for known in feed.agents if known.abilities.meet(wanted)]}


class AgentResource(FeedResource):
    """GET: one agent by its id, 404 when it was not heard of."""

    @defer.inlineCallbacks
    def answer(self, request: Any, feed: Feed) -> Any:
        identity = _argument(request, "id")
        known = feed.agents.find(identity)
        if known is None:
            raise Error(404, b"no agent of this id was heard: it has left, or was silent for a day")
        name, account = known.status.agent, identity.rpartition("/")[0]
        since = time.time() - DAY
        builds = yield agent_builds.builds_of(self.master, name, account, since, BUILDS_SHOWN)
        return {
            "id": identity,
            "found": {shown(key, TEXT_SHOWN): shown(how, TEXT_SHOWN) for key, how in known.found.items()},
            "changes": [
                {"when": when, "state": state, "reasons": list(reasons)} for when, state, reasons in known.changes
            ],
            "orders": [entry for entry in _orders(feed) if entry["agent"] == identity],
            "builds": builds.latest,
            "day": {"from": since, "to": time.time(), "busy": builds.busy},
        }


class OrdersResource(FeedResource):
    """GET: the orders that this user may give; POST: gives one to agents."""

    @defer.inlineCallbacks
    def answer(self, request: Any, feed: Feed) -> Any:
        may = []
        for order in ORDERS:
            if (yield self._may(request, order)):
                may.append(order)
        return {"orders": _orders(feed)[:ORDERS_SHOWN], "may": may}

    @defer.inlineCallbacks
    def _may(self, request: Any, order: str) -> Any:
        try:
            yield self.master.www.assertUserAllowed(request, ENDPOINT, order, {})
        except Error:
            return False
        return True

    def render_POST(self, request: Any) -> int:
        return int(self.asyncRenderHelper(request, self._post, _write_error(request)))

    @defer.inlineCallbacks
    def _post(self, request: Any) -> Any:
        self._check_origin(request)
        order, agents, reason = _order(request)
        yield self.master.www.assertUserAllowed(request, ENDPOINT, order, {"agents": agents, "reason": reason})
        who = _who(self.master.www.getUserInfos(request))
        told = self.page().order(order, agents, reason=reason, who=who)
        log.info("amqp.order_sent_to_agents", order=order, who=who, reason=reason, agents=[each.id for each in told])
        return _json(request, {"told": [each.id for each in told]})

    def _check_origin(self, request: Any) -> None:
        """As Buildbot's REST API (www/rest.py `V2RootResource`)."""
        if (request.getHeader(b"content-type") or b"").split(b";")[0].strip().lower() != JSON.encode():
            raise Error(400, f"an order's Content-Type is {JSON}".encode())
        origin = request.getHeader(b"origin")
        if origin is None:
            return  # no browser
        url = urlparse(self.master.config.buildbotURL)
        allowed = self.master.config.www.get("allowed_origins", [f"{url.scheme}://{url.netloc}"])
        if not any(fnmatch.fnmatch(origin.decode("latin-1").lower(), str(each).lower()) for each in allowed):
            raise Error(400, b"invalid origin: orders come from this master's own page (c['buildbotURL'])")


class DeadResource(FeedResource):
    """GET: the first messages in `dead`, 503 when the broker cannot be reached."""

    @defer.inlineCallbacks
    def answer(self, request: Any, feed: Feed) -> Any:
        try:
            return (yield self.page().dead())
        except LinkError as error:
            raise Error(503, f"the broker is out of reach: {error}".encode()) from None


def _order(request: Any) -> tuple[str, list[str], str]:
    """Raises `Error` with what is wrong."""
    text = request.content.read(BODY_MAX + 1)
    if len(text) > BODY_MAX:
        raise Error(413, f"an order has at most {BODY_MAX} bytes".encode())
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):  # also lists in lists in lists
        raise Error(400, b"an order is a JSON object") from None
    if not isinstance(body, dict):
        raise Error(400, b"an order is a JSON object")
    order, agents, reason = body.get("order"), body.get("agents"), body.get("reason", "")
    if order not in ORDERS:
        raise Error(400, f"order: one of {', '.join(ORDERS)}".encode())
    if not isinstance(agents, list) or not agents or not all(isinstance(each, str) for each in agents):
        raise Error(400, b"agents: a list of ids, as fleet gives them")
    if len(agents) > AT_ONCE:
        raise Error(400, f"agents: at most {AT_ONCE} at once".encode())
    if not isinstance(reason, str) or not reason.strip():
        raise Error(400, b"reason: say why; the agent's people read it")
    return order, list(dict.fromkeys(agents)), shown(reason.strip(), TEXT_SHOWN)


def _orders(feed: Feed) -> list[dict[str, Any]]:
    return [
        {
            "when": entry.when,
            "who": entry.who,
            "order": entry.order,
            "agent": entry.agent,
            "name": entry.name,
            "reason": entry.reason,
            "outcome": entry.outcome,
        }
        for entry in feed.orders
    ]


def _who(user: dict[str, Any]) -> str:
    if user.get("anonymous"):
        return "an anonymous viewer"
    return shown(user.get("email") or user.get("username") or user.get("full_name") or "a viewer", TEXT_SHOWN)


def _argument(request: Any, name: str, default: str = "") -> str:
    values = request.args.get(name.encode(), [])
    return values[0].decode("utf-8", "replace") if values else default


def _json(request: Any, value: Any) -> bytes:
    """`value`: JSON already where it is bytes."""
    request.setHeader(b"content-type", f"{JSON}; charset=utf-8".encode())
    request.setHeader(b"cache-control", b"no-store")
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()


def _write_error(request: Any) -> Any:
    def write(message: bytes | str, errcode: int = 400) -> None:
        text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
        request.setResponseCode(errcode)
        request.write(_json(request, {"error": text}))
        request.finish()

    return write


#: Buildbot's entry point.
ep = FleetApplication()
