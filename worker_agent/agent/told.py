"""What masters told: the signatures of each, those of earlier catalogues, and which of them this agent satisfies.

A signature is read once, when it is told, and again when the capabilities change: a catalogue costs what it says,
however much was said before it. What is remembered has bounds, for whoever may publish in a master's name can say
anything; forgotten first is what was told longest ago and has no queue.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import structlog

from contracts.errors import BadRequirement
from contracts.messages import Capability
from contracts.requirements.sets import Requirements
from contracts.topology import cap_queue
from worker_agent.keeper.files import read_text
from worker_agent.state_files import write_atomically

log = structlog.get_logger(__name__)

#: Masters that are remembered, and signatures of all of them together.
MASTERS_MAX, SIGNATURES_MAX = 1000, 100_000
#: Signatures of earlier catalogues that are remembered.
FORMER_MAX = 10_000
#: Signatures that cannot be read and get a line in the log, each once.
UNREADABLE_NAMED_MAX = 1000

_NONE: frozenset[str] = frozenset()


class ToldSignatures:
    """All by signature; what is asked of it are queues that this agent satisfies."""

    def __init__(self, capabilities: Callable[[], tuple[Capability, ...]]) -> None:
        self._capabilities = capabilities
        self._judged_by: tuple[Capability, ...] = ()
        #: by master, the one with the oldest news first: what can be read of its catalogue
        self._signatures: dict[str, frozenset[str]] = {}
        #: and the queues of those signatures that this agent satisfies
        self._able: dict[str, frozenset[str]] = {}
        self._count = 0
        #: queues of earlier catalogues that may still hold work, with their signatures, the oldest first; those of them
        #: that this agent satisfies
        self._former: dict[str, str] = {}
        self._former_able: set[str] = set()
        self._unreadable: set[str] = set()

    # -- what is told ----------------------------------------------------------------------------------------------

    def tell(self, master: str, told: Iterable[str], existing: Collection[str] = ()) -> bool:
        """All signatures of `master` now; True: they are others than before. Queues of `existing` are remembered."""
        self._judge_anew()
        readable, able = self._judged(told)
        before = self._signatures.get(master)
        if before == readable:
            return False
        self._forget(master)
        self._signatures[master], self._able[master] = readable, able
        self._count += len(readable)
        self._supersede((before or _NONE) - readable, existing)
        while len(self._signatures) > MASTERS_MAX or (self._count > SIGNATURES_MAX and len(self._signatures) > 1):
            self._forget(self._least_needed(master, existing))
        return True

    def missing(self, queues: Iterable[str]) -> None:
        """These do not exist: what no master tells any more is not asked for again."""
        for queue in queues:
            self._former.pop(queue, None)
            self._former_able.discard(queue)

    def _supersede(self, signatures: Iterable[str], existing: Collection[str]) -> None:
        """What a master told and tells no more."""
        for signature in signatures:
            queue = cap_queue(signature)
            self._former.pop(queue, None)
            self._former[queue] = signature
            if self._satisfied(signature):
                self._former_able.add(queue)
        while len(self._former) > FORMER_MAX:
            self.missing([next((queue for queue in self._former if queue not in existing), next(iter(self._former)))])

    def _forget(self, master: str) -> None:
        self._count -= len(self._signatures.pop(master, _NONE))
        self._able.pop(master, None)

    def _least_needed(self, newest: str, existing: Collection[str]) -> str:
        """The master with the oldest news of those that have no queue here; else of all."""
        others = [master for master in self._signatures if master != newest]
        return next((master for master in others if self._able[master].isdisjoint(existing)), others[0])

    # -- which -----------------------------------------------------------------------------------------------------

    def of_masters(self, masters: Iterable[str]) -> frozenset[str]:
        """Queues that these tell now."""
        self._judge_anew()
        return _NONE.union(*(self._able.get(master, _NONE) for master in masters))

    def former(self) -> frozenset[str]:
        """Queues that were told, are told no more, and may be there."""
        self._judge_anew()
        return frozenset(self._former_able)

    def all(self) -> frozenset[str]:
        """Queues that some master tells or told."""
        return self.of_masters(self._able) | self._former_able

    def __contains__(self, master: object) -> bool:
        """Is what this master told remembered?"""
        return master in self._signatures

    def _judge_anew(self) -> None:
        """Where other capabilities are found than those that all was judged by."""
        now = self._capabilities()
        if now is self._judged_by or now == self._judged_by:
            return
        self._judged_by = now
        self._able = {master: self._judged(signatures)[1] for master, signatures in self._signatures.items()}
        self._former_able = set(self._judged(self._former.values())[1])

    def _judged(self, told: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
        """The signatures that can be read, and the queues of those that this agent satisfies."""
        judged = {signature: self._satisfied(signature) for signature in told}
        readable = frozenset(signature for signature, satisfied in judged.items() if satisfied is not None)
        return readable, frozenset(cap_queue(signature) for signature, satisfied in judged.items() if satisfied)

    def _satisfied(self, signature: str) -> bool | None:
        """None: it cannot be read."""
        try:
            return Requirements.from_signature(signature).satisfied_by(self._judged_by)
        except BadRequirement as error:
            if signature not in self._unreadable and len(self._unreadable) < UNREADABLE_NAMED_MAX:
                self._unreadable.add(signature)
                log.warning("signature_unreadable", signature=signature, reason=str(error), remedy="upgrade this agent")
            return None

    # -- what was known when the agent last ran --------------------------------------------------------------------

    def read(self, cache: Path) -> None:
        """What `write` has written, where there is such a file."""
        try:
            fields = json.loads(read_text(cache))
            for master, names in fields.items():
                self.tell(str(master), map(str, names))
        except FileNotFoundError:
            return
        except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
            log.warning("catalogue_cache_unreadable", path=str(cache), reason=str(error), remedy="it is made anew")

    def write(self, cache: Path) -> None:
        """By master; a file that cannot be written is a line in the log."""
        fields = {master: sorted(names) for master, names in sorted(self._signatures.items())}
        try:
            write_atomically(cache, json.dumps(fields, indent=1) + "\n")
        except OSError as error:
            log.warning("catalogue_cache_not_written", path=str(cache), reason=str(error))
