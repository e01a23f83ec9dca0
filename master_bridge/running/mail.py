"""What goes between an operator's program and its agents: read, believed and acknowledged; sealed and said.

One link after the other carries it. What cannot be brought because one is lost, is said again when the next is there:
that is the machine's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import structlog

from contracts.agent_names import named
from contracts.errors import BadSeal, ContractError, NotBelieved
from contracts.messages import AnyMessage, Data, Message, Offer, Ping, Replay, Stored
from master_bridge.core import inputs
from master_bridge.core.actions import Terms
from master_bridge.link.carried import Delivered
from master_bridge.link.reader import Reader
from master_bridge.link.seals import Seals
from master_bridge.operating.errors import OperatingError, Unreachable
from master_bridge.operating.port import OperatorsLink

log = structlog.get_logger(__name__)

#: Messages that are said again where they get lost, so that nobody waits for the broker to have them.
_HINTS = (Ping, Stored, Replay, Data)


class Mail:
    """Of the program that is called `master`. `returned`: told of what came back, within the call that said it.

    `check`: raises `NotBelieved` for what is not from the agent that was meant.
    """

    def __init__(
        self,
        master: str,
        incarnation: str,
        *,
        returned: Callable[[inputs.Returned], None],
        check: Callable[[AnyMessage | None], None],
    ) -> None:
        self._master = master
        self._returned = returned
        self._check = check
        self._seals = Seals(master=master, incarnation=incarnation)
        self._reader = Reader(master, self, publish=lambda _: None, answer=lambda _: None)  # type: ignore[arg-type]  # what it calls is here
        self._link: OperatorsLink | None = None
        self._broken: Unreachable | None = None
        #: what came and was not looked at
        self._came: deque[Delivered | tuple[AnyMessage, str]] = deque()
        self._deliveries: dict[int, Delivered] = {}
        self._numbers = 0

    # -- the link ------------------------------------------------------------------------------------------------------

    def begin(self, link: OperatorsLink) -> None:
        """From now on by `link`."""
        self._link, self._broken = link, None
        self._came.clear()
        link.receive(self._master, self._came.append, lambda message, key: self._came.append((message, key)))

    def lose(self) -> None:
        """There is no link any more, and nothing of it is to be acknowledged."""
        self._link = None
        self._deliveries.clear()

    def raise_if_broken(self) -> None:
        """Raises the `Unreachable` with which something could not be said."""
        if self._broken is not None:
            raise self._broken

    def leave(self) -> None:
        """Nothing more is expected, as far as that can be said."""
        if self._link is not None and self._broken is None:
            try:
                self._link.stop_receiving()
            except OperatingError as error:
                log.debug("queues_left", reason=str(error))

    # -- what comes ----------------------------------------------------------------------------------------------------

    def read(self) -> Iterator[inputs.Returned | inputs.MessageReceived]:
        """What has come, for the machine. What cannot be read or believed is dropped."""
        while self._came:
            came = self._came.popleft()
            found = inputs.Returned(message=came[0], routing_key=came[1]) if isinstance(came, tuple) else self._of(came)
            if found is not None:
                yield found

    def message_sent_to_dead(self, reason: str, user: str) -> bool:
        """From the reader: what cannot be read or believed. It is dropped."""
        return True

    def acknowledge(self, delivery: int) -> None:
        delivered = self._deliveries.pop(delivery, None)
        if delivered is not None:
            self._with_link(lambda _link: delivered.ack())

    def _of(self, came: Delivered) -> inputs.MessageReceived | None:
        reply = self._reader.reply(came)
        if reply is None:
            came.ack()
            return None
        try:
            message = self._seals.incoming(reply.message, reply.user)
            self._check(message)
        except (BadSeal, NotBelieved) as error:
            log.warning("operators_message_rejected", account=reply.user, reason=str(error))
            message = None
        if message is None:
            came.ack()
            return None
        self._numbers += 1
        self._deliveries[self._numbers] = came
        return inputs.MessageReceived(
            delivery=self._numbers, message=named(message, reply.user), user=reply.user, size=reply.size
        )

    # -- what is said --------------------------------------------------------------------------------------------------

    def send(self, message: Message, address: str, terms: Terms | None) -> None:
        """To the agent at `address`, sealed where its session is."""
        try:
            sealed = self._seals.outgoing(message, address, terms)
        except ContractError as error:
            log.error("seal_missing_or_invalid", reason=str(error))
            return
        self._tell(address, sealed, is_hint=isinstance(message, _HINTS))

    def offer(self, address: str, offer: Offer) -> None:
        """To the agent at `address`; told again by whoever offers, it does not come back."""
        self._tell(address, offer)

    def mark(self, message: Message) -> None:
        """To this program itself, behind all claims that are under way to it."""
        self._with_link(lambda link: link.mark(message))

    def forget_seal(self, session: str) -> None:
        self._seals.forget(session)

    def _tell(self, address: str, message: Message, *, is_hint: bool = False) -> None:
        def tell(link: OperatorsLink) -> None:
            if is_hint:
                link.hint(address, message)  # type: ignore[arg-type]  # it is one of ours
            elif not link.tell(address, message) and not isinstance(message, Offer):
                self._returned(inputs.Returned(message=message, routing_key=address))  # type: ignore[arg-type]  # as above

        self._with_link(tell)

    def _with_link(self, say: Callable[[OperatorsLink], None]) -> None:
        """A batch of actions is carried out to its end, also where the link is lost in the middle of it."""
        if self._link is None or self._broken is not None:
            return
        try:
            say(self._link)
        except Unreachable as error:
            self._broken = error
