"""What is to be done on one agent, in one session. Pure, but for what its steps do with local files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from contracts.messages import Event, Offer, Status, WorkerInfo
from contracts.topology import address_user
from master_bridge.core.actions import Holder
from master_bridge.operating.survey import Whose, whose
from master_bridge.running.answers import AgentResult
from master_bridge.running.orders import Order, OrderOutcome, StepFailed, Steps

#: Told of output as it comes: the agent's name, which stream, the bytes.
OnOutput = Callable[[str, Literal["stdout", "stderr"], bytes], None]
#: What a step leaves for the result: fields of `AgentResult`.
Fields = dict[str, Any]

#: What is said of a command that its operator ended.
INTERRUPTED = "interrupted by the operator"


class Job:
    """`steps` begins what is done once the agent is there; it is told what the agent says of itself."""

    def __init__(
        self,
        status: Status,
        *,
        agent: str,
        request: str,
        steps: Callable[[WorkerInfo], Steps[Fields]],
        on_output: OnOutput | None = None,
        seal: bool = False,
    ) -> None:
        """`agent`: how it is called here. `seal`: it can, so what is said in the session is encrypted (rule 24)."""
        self.agent = agent
        self.whose: Whose = whose(status)
        self.instance = status.instance
        #: where it was heard last
        self.address = status.address
        self.request = request
        #: it takes offers that are told to it
        self.is_able = status.direct
        self.seal = seal
        #: what it is told until it answers
        self.offer: Offer | None = None
        self.call_at = 0.0
        self.holder: Holder | None = None
        self.n = 0
        self.result: AgentResult | None = None
        self.is_interrupted = False
        self._make_steps = steps
        self._on_output = on_output
        self._steps: Steps[Fields] | None = None
        self._order: Order | None = None
        self._outcome = OrderOutcome()
        self._began = 0.0
        self._kept: dict[str, list[bytes]] = {"stdout": [], "stderr": []}

    @property
    def account(self) -> str:
        return self.whose[0]

    @property
    def is_over(self) -> bool:
        return self.result is not None

    def is_from(self, address: str) -> bool:
        """Is it this agent's account that speaks? Its offer was told to nobody else."""
        return address_user(address) == self.account

    def attached(self, holder: Holder, now: float) -> Order | None:
        """The agent has accepted: the first order. None: there is none, it is over."""
        self.holder, self._began = holder, now
        self._steps = self._make_steps(holder.worker)
        return self._next(None, now)

    def event(self, event: Event, now: float) -> Order | None:
        """Of the command that runs. What its output's reader raises is raised. The next order, once it is over."""
        order = self._order
        if order is None or event.n != self.n:
            return None
        if event.kind in ("stdout", "stderr") and order.is_shown:
            self._output("stdout" if event.kind == "stdout" else "stderr", event.data)
            return None
        try:
            self._outcome.take(event, order)
        except OSError as error:  # a local file cannot be written
            self.end(now, error=f"{error.filename or 'the file here'}: {error.strerror or error}")
            return None
        if not self._outcome.over:
            return None
        self._order = None
        return self._next(self._outcome, now)

    def started(self, order: Order, n: int) -> None:
        """It is sent as command `n`."""
        self._order, self.n, self._outcome = order, n, OrderOutcome()

    @property
    def runs(self) -> bool:
        """A command of it was started, and has not completed."""
        return self._order is not None

    def read(self, n: int, offset: int, length: int) -> tuple[bytes, int] | None:
        """Of what its command downloads, and the size of all. Raises OSError."""
        order = self._order
        if order is None or order.content is None or n != self.n:
            return None
        return order.content.read(offset, length), order.content.size

    def end(self, now: float, *, error: str, is_lost: bool = False) -> None:
        """It is over without a word of the command."""
        if self.is_over:
            return
        self._order = None
        if self._steps is not None:
            self._steps.close()
        self._finish(now, {"exit_status": None, "error": error, "is_lost": is_lost})

    def _next(self, outcome: OrderOutcome | None, now: float) -> Order | None:
        assert self._steps is not None
        if outcome is not None and outcome.interrupted is not None:
            self._steps.close()
            self._finish(now, {"exit_status": None, "error": outcome.interrupted})
            return None
        try:
            return next(self._steps) if outcome is None else self._steps.send(outcome)
        except StopIteration as end:
            self._finish(now, end.value)
        except StepFailed as error:
            self._finish(now, {"exit_status": None, "error": str(error)})
        except OSError as error:
            self._finish(now, {"exit_status": None, "error": f"{error.filename or 'here'}: {error.strerror or error}"})
        return None

    def _output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        if self._on_output is not None:
            self._on_output(self.agent, stream, data)
        else:
            self._kept[stream].append(data)

    def _finish(self, now: float, fields: Fields) -> None:
        self.result = AgentResult(
            agent=self.agent,
            account=self.account,
            instance=self.instance,
            stdout=b"".join(self._kept["stdout"]),
            stderr=b"".join(self._kept["stderr"]),
            seconds=max(0.0, now - self._began) if self.holder is not None else 0.0,
            **fields,
        )
