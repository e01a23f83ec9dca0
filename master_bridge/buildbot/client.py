"""Who asks the bridge for an agent: a latent worker for its build, or a step for its own command."""

from __future__ import annotations

from typing import Protocol

from contracts.messages import Event
from master_bridge.core.actions import Holder, ServeData


class Stay(Protocol):
    """What the bridge tells of a session: `sessions.session.Session`."""

    def deliver(self, event: Event) -> None:
        """An event, in order, never twice."""

    def serve(self, wanted: ServeData) -> None:
        """The agent pulls a part of a download."""


class Client(Protocol):
    """What the bridge tells whoever made a `Seek` for `request`. `signature`: what it waits for."""

    request: str

    @property
    def signature(self) -> str:
        """What it waits for."""

    @property
    def session(self) -> Stay | None:
        """Its session on an agent; None: there is none (yet, or any more), and what comes of it is dropped."""

    def state_changed(self, state: str) -> None:
        """none, window, waiting, granted, held, missing or done."""

    def attach(self, holder: Holder, adopted: bool) -> None:
        """An agent has accepted; commands may start."""

    def lost(self, reason: str) -> None:
        """The session is over without a result."""

    def abandoned(self, reason: str) -> None:
        """No agent will be asked any more for this request."""

    def cancelled_earlier(self, reason: str) -> None:
        """A Stop of before the master's restart was carried out."""

    def quick_stop(self) -> None:
        """`buildbot stop`: what runs is kept for the master's next start."""

    def refresh(self) -> None:
        """Called every few seconds while it waits: say for what."""
