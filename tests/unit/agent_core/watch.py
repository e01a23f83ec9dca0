"""What must hold whatever the machine is told: every action of every test passes through here."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.messages import Accept, Claim, Event, Gone, Grant, Resume
from contracts.timing import CLAIM_TIMEOUT, DIRECT_MAX, WINDOW_BYTES, WINDOW_EVENTS
from worker_agent.core import actions, inputs
from worker_agent.core.window import event_size


class Watch:
    """Follows inputs and actions from outside, and asserts the machine's promises."""

    def __init__(self, slots: int, recovered: Sequence[inputs.Recovered] = ()) -> None:
        self.slots = slots
        self.linked = False
        self.exited = False
        self.consumed: frozenset[str] = frozenset()
        #: deliveries of this link that were not answered yet
        self.deliveries: set[int] = set()
        self.tokens: set[int] = set()
        self.claims: dict[int, str] = {}
        self.persisted = {found.meta.session for found in recovered}
        self.open = set(self.persisted)
        #: operators' sessions, which are beside the slots
        self.direct: set[str] = set()
        self.aside = {found.meta.session for found in recovered if found.meta.aside}
        #: sessions that may run commands: granted, or their claim is confirmed
        self.may_run = set(self.persisted)
        self.run: set[tuple[str, int]] = set()
        self.published = {found.meta.session: found.last_seq for found in recovered}
        #: session -> sizes of what was published since the last rewind, by seq
        self.under_way: dict[str, dict[int, int]] = {}

    # ---- inputs

    def told(self, given: inputs.Input) -> None:
        if isinstance(given, inputs.LinkUp):
            self._link_lost()
            self.linked = True
        elif isinstance(given, inputs.LinkDown):
            self._link_lost()
        elif isinstance(given, inputs.OfferDelivered) and self.linked and not self.exited:  # Exit closes the link
            self.deliveries.add(given.delivery)
        elif isinstance(given, inputs.DeliveryLost):
            self.deliveries.discard(given.delivery)
        elif isinstance(given, inputs.Confirmed) and given.token in self.claims:
            self.may_run.add(self.claims[given.token])
        elif isinstance(given, inputs.MessageReceived) and isinstance(given.message, Grant):
            self.may_run.add(given.message.session)

    def _link_lost(self) -> None:
        self.linked = False
        self.deliveries.clear()
        self.consumed = frozenset()
        self.claims.clear()

    def stored(self, session: str, seq: int) -> None:
        """The harness has told the machine, in a message it must heed, that events up to `seq` are stored."""
        under_way = self.under_way.setdefault(session, {})
        for old in [old for old in under_way if old <= seq]:
            del under_way[old]

    # ---- actions

    def did(self, given: inputs.Input, done: Sequence[actions.Action]) -> None:
        assert not (self.exited and done), "nothing is done after Exit"
        for action in done:
            assert not self.exited, "Exit is the last action"
            self._check(action)
        self.exited = self.exited or any(isinstance(action, actions.Exit) for action in done)

    def _check(self, action: actions.Action) -> None:
        if isinstance(action, (actions.Ack, actions.Park, actions.GiveBack, actions.SendToDead)):
            assert self.linked, "deliveries are answered on their link"
            assert action.delivery in self.deliveries, f"{action} answers nothing, or twice"
            self.deliveries.remove(action.delivery)
            if isinstance(action, actions.GiveBack):
                assert not self.consumed, "rule 20: cancel before nack"
        elif isinstance(action, actions.Consume):
            assert self.linked
            assert action.queues
            assert len(self.open - self.aside - self.direct) < self.slots, "no consumer without a free slot"
            self.consumed = frozenset(action.queues)
        elif isinstance(action, actions.CancelConsumers):
            assert self.consumed, "there was nothing to cancel"
            self.consumed = frozenset()
        elif isinstance(action, actions.Persist):
            self.persisted.add(action.meta.session)
            if action.meta.offer.direct:
                self.direct.add(action.meta.session)
            if action.meta.aside:
                self.aside.add(action.meta.session)
        elif isinstance(action, actions.OpenSession):
            assert action.session in self.persisted, "journal first"
            assert action.session not in self.open
            self.open.add(action.session)
            assert len(self.open - self.aside - self.direct) <= self.slots, "more sessions than slots"
            assert len(self.open & self.direct) <= DIRECT_MAX, "more operators than there is room for"
        elif isinstance(action, actions.CloseSession):
            assert action.session in self.open, f"{action}: not open"
            if not action.keep_journal:
                self.open.remove(action.session)
        elif isinstance(action, (actions.RunCommand, actions.CompleteUnstarted)):
            self._check_run(action)
        elif isinstance(action, (actions.InterruptCommand, actions.FeedData, actions.TrimJournal, actions.Contact)):
            assert action.session in self.open, f"{action}: not open"
        elif isinstance(action, actions.Publish):
            self._check_publish(action)

    def _check_run(self, action: actions.RunCommand | actions.CompleteUnstarted) -> None:
        key = (action.session, action.command.n)
        assert action.session in self.open - self.aside, f"{action}: not open"
        assert action.session in self.may_run, "rule 15: no command before confirm or grant"
        assert key not in self.run, f"command {key} runs twice"
        self.run.add(key)

    def _check_publish(self, action: actions.Publish) -> None:
        assert self.linked, "nothing is published without a link"
        if action.token is not None:
            assert action.token not in self.tokens, "tokens are unique"
            self.tokens.add(action.token)
        message = action.message
        if isinstance(message, Claim):
            assert action.token is not None
            assert action.expires == CLAIM_TIMEOUT
            self.claims[action.token] = message.session
        else:
            assert action.expires is None, "only claims expire"
        if isinstance(message, (Resume, Accept)):
            assert message.session in self.open, "what is not there does not resume"
            assert action.to == "claims"
        elif isinstance(message, Gone):
            assert message.session not in self.open, "gone, and still there"
        elif isinstance(message, Event):
            self._check_event(message)

    def _check_event(self, event: Event) -> None:
        assert event.session in self.open
        last = self.published.get(event.session, 0)
        assert event.seq <= last + 1, f"event {event.seq} was published after {last}"
        under_way = self.under_way.setdefault(event.session, {})
        for rewound in [seq for seq in under_way if seq >= event.seq]:
            del under_way[rewound]
        assert event.seq == max(under_way, default=event.seq - 1) + 1, "published in order"
        under_way[event.seq] = event_size(event)
        assert len(under_way) <= WINDOW_EVENTS
        assert len(under_way) == 1 or sum(under_way.values()) <= WINDOW_BYTES, "2 MiB window"
        self.published[event.session] = max(last, event.seq)
