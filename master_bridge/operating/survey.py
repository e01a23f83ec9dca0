"""Listens to the fleet: agents' statuses, masters' columns and what their requests do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from contracts import topology
from contracts.agent_names import named
from contracts.codec import decode
from contracts.errors import NotBelieved, UnknownVersion
from contracts.messages import Catalogue, Status, Work
from contracts.timing import CATALOGUE_INTERVAL, STATUS_INTERVAL
from contracts.trust.envelope import Envelope
from master_bridge.fleet.agents import Agents
from master_bridge.operating.errors import NotPermitted
from master_bridge.operating.port import OperatorsLink

#: Agents that are asked answer within this many seconds, over a slow line too.
ANSWERS_WITHIN = 1.0
#: Masters tell what their requests do every 2 s.
MASTERS_WITHIN = 2.5
#: Seconds without a new agent after which no more are waited for, and those for which they may go on to come.
QUIET, STILL_COMING = 0.3, 30.0
#: Seconds after which a master that says nothing any more is not shown; an agent, as its own status says.
FORGET_AFTER = 3 * CATALOGUE_INTERVAL
#: Characters of the name of somebody whose messages cannot be checked.
NAME_SHOWN = 128
#: … and how many of them are named.
FOREIGN_MAX = 1000
#: Columns that are taken of one master.
SIGNATURES_MAX = 1000
#: What is kept of one account: a whole fleet may share one.
NUMBER_MAX, BYTES_MAX = 5000, 32 * 1024 * 1024

Said = TypeVar("Said")
#: Account, as a word of a routing key, and instance or master.
Whose = tuple[str, str]


class Survey:
    """What is heard from `open` on. Times of hearing are monotonic seconds."""

    def __init__(self, link: OperatorsLink) -> None:
        self.link = link
        self._statuses: Heard[Status] = Heard()
        self._catalogues: Heard[Catalogue] = Heard()
        self._works: Heard[Work] = Heard()
        #: agents of which the last status was that they leave
        self._left: Heard[Status] = Heard()
        #: agent or master -> its status cannot be read: it is in another version of the protocol
        self.foreign: dict[str, str] = {}
        self.may_ask = True
        #: all agents that were heard, those that left or are silent among them, as people look at them
        self.fleet = Agents()

    def open(self) -> Survey:
        """Listen. Raises `NotPermitted` for an account that may not read `bb.fleet`."""
        self.link.hear_fleet(self._heard)
        return self

    def ask(self) -> None:
        """Ask all agents for their status; without the right to, they tell it by themselves: within 5 s, or, in a large
        fleet, as late as those that were heard say (rule 27)."""
        if self.may_ask:
            try:
                self.link.tell(topology.TELL, b"", mandatory=False)
            except NotPermitted:
                self.may_ask = False

    def listen(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """For at most so long, or until it is enough; True when it was."""
        deadline = time.monotonic() + seconds
        while not until():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.link.wait(min(left, 0.1))
        return True

    def gather(self, *, masters: bool = False) -> Survey:
        """Ask and listen until all agents have had the time to answer; with `masters`, all masters too."""
        self.ask()
        began = time.monotonic()
        seconds = ANSWERS_WITHIN if self.may_ask else STATUS_INTERVAL + ANSWERS_WITHIN
        self.listen(max(seconds, MASTERS_WITHIN) if masters else seconds)
        if not self.may_ask and (known := self._statuses.fresh()):  # those whose turn has come tell of all others
            self.listen(began + max(status.every for status in known) + ANSWERS_WITHIN - time.monotonic())
        deadline, heard = time.monotonic() + STILL_COMING, 0
        while len(self.fleet) > heard and time.monotonic() < deadline:  # many answers are still being read
            heard = len(self.fleet)
            self.listen(QUIET)
        return self

    @property
    def agents(self) -> list[Status]:
        """By name. Each was said by the account of its address, and is named as `agent_names` has it."""
        return sorted(self._statuses.fresh(), key=lambda status: (status.agent, status.instance))

    def has_left(self, status: Status) -> bool:
        """The agent of `status` has said a moment ago that it leaves, and nothing since then."""
        return any(whose(each) == whose(status) for each in self._left.fresh())

    @property
    def works(self) -> list[Work]:
        """What each master's requests do, as it said last; in order of masters."""
        return sorted(self._works.fresh(), key=lambda work: work.master)

    @property
    def left_out(self) -> set[str]:
        """Accounts that said more than is kept of one."""
        return self._statuses.full | self._catalogues.full | self._works.full

    @property
    def masters(self) -> set[str]:
        """Names of all that were heard lately."""
        return {work.master for work in self.works} | {catalogue.master for catalogue in self._catalogues.fresh()}

    @property
    def columns(self) -> dict[str, set[str]]:
        """Signature of a column, or of a request that waits -> its masters."""
        found: dict[str, set[str]] = {}
        for catalogue in self._catalogues.fresh():
            for signature in catalogue.signatures[:SIGNATURES_MAX]:
                found.setdefault(signature, set()).add(catalogue.master)
        for work in self.works:
            for view in work.requests:
                if view.signature:
                    found.setdefault(view.signature, set()).add(work.master)
        return found

    @property
    def signatures(self) -> set[str]:
        """Of all masters' columns and requests."""
        return set(self.columns)

    def hear(self, message: Any, envelope: Envelope, size: int) -> None:
        """Raises `NotBelieved` for what its sender may not say. `size`: bytes of it."""
        if isinstance(message, Status):
            user = envelope.to_fleet(topology.STATUS_KEY)
            if topology.address_user(message.address) != user:
                raise NotBelieved(f"user {user} told a status for the address {message.address}")
            agent = whose(message)
            self._left.drop(agent)
            told = named(message, user)
            if message.state != "leaving":
                if self._statuses.keep(agent, told, size, told.silent_after):
                    self.fleet.hear(told, time.time())
            elif self._statuses.drop(agent):
                self._left.keep(agent, message, size)
                self.fleet.hear(told, time.time())
        elif isinstance(message, Catalogue):
            user = envelope.to_fleet(topology.CATALOGUE_KEY)
            self._catalogues.keep((user, message.master), message, size)
        elif isinstance(message, Work):
            user = envelope.to_fleet(topology.WORK_KEY)
            self._works.keep((user, message.master), message, size)

    def _heard(self, envelope: Envelope, body: bytes, headers: Any) -> None:
        try:
            self._read(envelope, body, headers)
        except Exception:  # whoever wrote it, it is not of the fleet; the broker counts what masters put into `dead`
            return

    def _read(self, envelope: Envelope, body: bytes, headers: Any) -> None:
        """Who sent it comes first, then the words."""
        envelope.to_fleet(envelope.routing_key)
        try:
            self.hear(decode(body, headers), envelope, len(body))
        except UnknownVersion as error:
            named = error.fields.get("agent") or error.fields.get("master") or ""
            if len(self.foreign) < FOREIGN_MAX:
                self.foreign[f"{named} ({envelope.user})"[:NAME_SHOWN]] = f"{error}: upgrade the older of the two"


def whose(status: Status) -> Whose:
    """An agent, told apart from one of another account that calls itself the same."""
    return topology.address_user(status.address), status.instance


class Heard(Generic[Said]):
    """The latest status of each agent, or master. One account has bounds, so that it takes nobody else's room."""

    def __init__(self) -> None:
        #: with when it is too old (monotonic seconds), and its bytes
        self._kept: dict[Whose, tuple[float, int, Said]] = {}
        #: account -> bytes and number of what is kept of it
        self._bytes: Counter[str] = Counter()
        self._number: Counter[str] = Counter()
        #: accounts of which something is not kept
        self.full: set[str] = set()

    def keep(self, whose: Whose, message: Said, size: int, seconds: float = FORGET_AFTER) -> bool:
        """The latest message of `whose`, for so long; False: its account has said too much, and nothing more is kept
        (`full`)."""
        self.drop(whose)
        account = whose[0]
        if self._bytes[account] + size > BYTES_MAX or self._number[account] >= NUMBER_MAX:
            self.full.add(account)
            return False
        self._bytes[account] += size
        self._number[account] += 1
        self._kept[whose] = (time.monotonic() + seconds, size, message)
        return True

    def drop(self, whose: Whose) -> bool:
        """False: nothing was kept."""
        found = self._kept.pop(whose, None)
        if found is None:
            return False
        self._bytes[whose[0]] -= found[1]
        self._number[whose[0]] -= 1
        return True

    def fresh(self) -> list[Said]:
        """What is not too old; the rest is forgotten."""
        now = time.monotonic()
        for whose in [whose for whose, (until, _, _) in self._kept.items() if now > until]:
            self.drop(whose)
        return [message for _, _, message in self._kept.values()]
