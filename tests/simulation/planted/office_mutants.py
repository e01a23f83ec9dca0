"""Post offices that break one thing each that the protocol leans on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.frames.frames import Settle
from master_bridge.post_office.actions import KeepClaim, OfficeAction, SendFrame, TellMaster
from master_bridge.post_office.inputs import ClaimsRestored, FrameCame, OfficeInput
from master_bridge.post_office.office import PostOffice


class NeverDone(PostOffice):
    """What is acknowledged waits again."""

    def handle(self, news: OfficeInput, now: float) -> list[OfficeAction]:
        if isinstance(news, FrameCame) and isinstance(news.frame, Settle) and news.frame.how == "ack":
            news = replace(news, frame=news.frame.model_copy(update={"how": "back"}))
        return super().handle(news, now)


class ParksForEver(PostOffice):
    """What is parked does not come back."""

    @property
    def deadline(self) -> float | None:
        return None

    def _unpark(self, now: float) -> Iterator[OfficeAction]:
        return iter(())


class KeepsNoClaims(PostOffice):
    """Sessions of a master that was killed are forgotten with it (rule 11)."""

    def handle(self, news: OfficeInput, now: float) -> list[OfficeAction]:
        if isinstance(news, ClaimsRestored):
            news = ClaimsRestored(claims=())
        return [action for action in super().handle(news, now) if not isinstance(action, KeepClaim)]


class ConfirmsWhatItDrops(PostOffice):
    """Every second claim is answered and told to nobody."""

    _came = 0

    def handle(self, news: OfficeInput, now: float) -> list[OfficeAction]:
        actions = []
        for action in super().handle(news, now):
            if isinstance(action, TellMaster) and action.queue == "claims":
                self._came += 1
                if self._came % 2 == 0:
                    continue
            actions.append(action)
        return actions


class TellsTheWrongOne(PostOffice):
    """One agent hears what is for all others."""

    def handle(self, news: OfficeInput, now: float) -> list[OfficeAction]:
        actions = super().handle(news, now)
        first = next(iter(self._connections), None)
        return [
            replace(action, connection=first.number)
            if isinstance(action, SendFrame) and action.frame.f == "told" and first is not None
            else action
            for action in actions
        ]
