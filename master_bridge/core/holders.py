"""The requests with a session, by session and by agent: a fleet tells of itself all the time. Pure."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

from master_bridge.core.records import WorkUnit

#: Instance, and `key_word` of the account: neither changes in a session.
Agent = tuple[str, str]


class Holders(MutableMapping[str, WorkUnit]):
    """Session -> the request that has it."""

    def __init__(self) -> None:
        self._works: dict[str, WorkUnit] = {}
        #: agent -> its sessions here
        self._sessions: dict[Agent, dict[str, None]] = {}
        #: session -> agent
        self._agents: dict[str, Agent] = {}

    def of_agent(self, instance: str, user: str) -> tuple[WorkUnit, ...]:
        """Those that this agent holds, in the order in which they began."""
        return tuple(self._works[session] for session in self._sessions.get((instance, user), ()))

    def __getitem__(self, session: str) -> WorkUnit:
        return self._works[session]

    def __setitem__(self, session: str, work: WorkUnit) -> None:
        self.pop(session, None)
        self._works[session] = work
        agent = self._agents[session] = (work.granted.instance, work.granted.user)
        self._sessions.setdefault(agent, {})[session] = None

    def __delitem__(self, session: str) -> None:
        del self._works[session]
        agent = self._agents.pop(session)
        sessions = self._sessions[agent]
        del sessions[session]
        if not sessions:
            del self._sessions[agent]

    def __iter__(self) -> Iterator[str]:
        return iter(self._works)

    def __len__(self) -> int:
        return len(self._works)
