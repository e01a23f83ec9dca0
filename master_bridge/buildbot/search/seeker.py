"""Carries a search out: asks the bridge, keeps the time, and says for what is waited."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet import defer

from contracts.machines.exhaustive import assert_never
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.client import Client
from master_bridge.buildbot.search import search
from master_bridge.buildbot.search.notices import WaitingNotice
from master_bridge.buildbot.search.search import Search, SearchState
from master_bridge.buildbot.search.waiting import Fallback
from master_bridge.core.inputs import Done, Keep, Reroute, Seek, Withdraw


class Seeker:
    """A `Search` of `client`'s for its request.

    broker       the master's `AMQPBroker`
    seek_of()    what to ask the bridge for, with `signature` and `seal` as they are now
    say(text)    stores for what is waited (a Deferred)
    """

    def __init__(
        self,
        *,
        broker: Any,
        reactor: Any,
        client: Client,
        search: Search,
        seek_of: Callable[[], Seek],
        say: Callable[[str], defer.Deferred[Any]],
    ) -> None:
        self._broker = broker
        self._reactor = reactor
        self._client = client
        self._request = client.request
        self._search = search
        self._seek_of = seek_of
        self._notice = WaitingNotice(broker, say)
        #: runs just while the search prefers
        self._timer: Any = None
        #: seconds since the epoch
        self.since = time.time()
        #: the bridge's state of the request
        self.state = "none"

    @property
    def requirements(self) -> Requirements:
        """What it asks for now."""
        return self._search.requirements

    @property
    def signature(self) -> str:
        return self.requirements.signature

    @property
    def seal(self) -> bool:
        return self._search.seal

    @property
    def over(self) -> bool:
        return self._search.state is SearchState.OVER

    @property
    def looking(self) -> bool:
        """There is no agent, and one is wanted."""
        return self._search.state not in (SearchState.FOUND, SearchState.OVER)

    # ---- what happens to it

    def begin(self) -> None:
        """Ask the bridge."""
        self._handle(search.Begin())

    def reroute(self, requirements: Requirements, seal: bool) -> None:
        """The configuration asks for something else now."""
        self._handle(search.Rerouted(requirements, seal))

    def found(self) -> None:
        """The bridge has an agent for it."""
        self._handle(search.Found())

    def lost(self, *, waited: bool = False) -> None:
        """`waited`: from now on it waits for any agent that has what is required."""
        self._handle(search.AgentLost(waited))

    def give_back(self) -> None:
        """The agent failed; another is asked for."""
        self._handle(search.GivenBack())

    def refused(self) -> None:
        """No agent will come."""
        self._handle(search.Refused())

    def leave(self, *, keep: bool) -> None:
        """No agent is wanted any more; `keep`: its session, or its offer, for the master's next start."""
        self._handle(search.Left(keep))

    def end(self) -> None:
        """The bridge has ended it."""
        self._handle(search.Ended())

    # ---- what is to be done

    def _handle(self, cue: search.Cue) -> None:
        for action in self._search.handle(cue):
            self._carry_out(action)

    def _carry_out(self, action: search.Action) -> None:
        bridge = self._broker.bridge
        if isinstance(action, search.Ask):
            self._broker.seek(self._client, self._seek_of())
        elif isinstance(action, search.AskElsewhere):
            if bridge is not None:
                bridge.feed(Reroute(request=self._request, signature=self.signature, seal=self.seal))
            self._client.refresh()
        elif isinstance(action, search.Wait):
            self._timer = self._reactor.callLater(action.seconds, self._handle, search.PatienceOver())
        elif isinstance(action, search.WaitNoMore):
            self._timer.cancel()
        elif isinstance(action, search.Leave):
            if bridge is not None:
                bridge.leave(self._client, _ENDS[action.how](request=self._request))
        else:
            assert_never(action)

    # ---- what people read

    def refresh(self) -> None:
        """Say for what is waited, if there is something new to say."""
        later = None
        preference = self._search.preference
        if preference is not None and self._search.state is SearchState.PREFERS:
            later = Fallback(needs=self._search.required.signature, at=self.since + preference.seconds)
        self._notice.refresh(
            self.requirements,
            since=self.since,
            state=self.state,
            later=later,
            expected=self._broker.page.feed.expected.get(self._request),
        )


_ENDS: dict[str, type[Withdraw] | type[Done] | type[Keep]] = {
    "withdraw": Withdraw, "done": Done, "given back": Done, "keep": Keep,
}  # fmt: skip
