"""The disk of a machine with an agent: files in the real formats, written and read by the agent's own code."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

from contracts.messages import Event
from tests.simulation.ledger import Violation
from tests.simulation.planted.mutants import Mutant
from worker_agent.agent.instance import identity_of, identity_text
from worker_agent.core.inputs import SessionMeta
from worker_agent.keeper.journal.segments import event_header, pack, read_record
from worker_agent.keepers import metas
from worker_agent.keepers.journal_reader import event_of


class Disk:
    """`core.journal.JournalReader`, the sessions' meta files, and `instance.json`."""

    def __init__(self, uuid: str, mutant: Mutant) -> None:
        self._mutant = mutant
        #: instance.json
        self.instance = identity_text(uuid, 0)
        #: session -> its meta.json
        self.metas: dict[str, str] = {}
        #: session -> the records of its journal
        self.journals: dict[str, list[bytes]] = {}

    def copy(self) -> Disk:
        copied = Disk("", self._mutant)
        copied.instance = self.instance
        copied.metas = dict(self.metas)
        copied.journals = {session: list(records) for session, records in self.journals.items()}
        return copied

    def remove(self, session: str) -> None:
        self.metas.pop(session, None)
        self.journals.pop(session, None)

    # ---- instance.json

    @property
    def identity(self) -> tuple[str, int]:
        """(uuid, epoch)."""
        return identity_of(self.instance)

    def next_epoch(self) -> int:
        uuid, epoch = self.identity
        self.instance = identity_text(uuid, epoch + 1)
        return epoch + 1

    # ---- meta.json

    def persist(self, meta: SessionMeta) -> None:
        text = self.metas[meta.session] = self._mutant.written("meta", metas.dump(meta))
        try:
            found: object = metas.load(text)
        except ValueError as error:
            found = error
        if found != meta:
            raise Violation("what is written is what is read", f"{meta!r} is read as {found!r}")

    def meta(self, session: str) -> SessionMeta:
        return metas.load(self.metas[session])

    # ---- the journal

    def append(self, session: str, n: int, kind: str, value: Any, data: bytes, **more: str | None) -> int:
        """Write one event; its number."""
        records = self.journals.setdefault(session, [])
        header = event_header(len(records) + 1, n, kind, value, **more)
        header = json.loads(self._mutant.written("journal", json.dumps(header)))
        records.append(pack(header, data) + data)
        return len(records)

    def lose(self, events: int) -> None:
        """The last of each journal had not reached the disk when the power went."""
        for records in self.journals.values():
            del records[max(0, len(records) - events) :]

    def read(self, session: str, seq: int) -> Event | None:
        records = self.journals.get(session, [])
        record = read_record(BytesIO(records[seq - 1])) if 1 <= seq <= len(records) else None
        return event_of(session, record[0], record[1]) if record is not None else None

    def last_seq(self, session: str) -> int:
        return len(self.journals.get(session, []))
