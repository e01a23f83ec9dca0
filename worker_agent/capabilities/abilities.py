"""What this agent can do at the moment: detected, remembered, and looked at again when it matters."""

from __future__ import annotations

import asyncio

import structlog

from contracts.messages import Capability
from contracts.requirements.sets import Requirements, normal_name
from contracts.trust import sealing
from worker_agent.agent.errands import Errands, Here
from worker_agent.capabilities import DetectOptions, Inventory, detect, detect_late, findings, recheck, remembered
from worker_agent.capabilities.probe_files import load
from worker_agent.keeper.second_user import SecondUser
from worker_agent.program.settings import Settings

log = structlog.get_logger(__name__)

#: In the state folder: what was found.
FILE = "capabilities.json"
#: Capabilities of which it is told how they were found, and characters of each: a status must fit into a message.
FOUND_TOLD, FOUND_MAX = 2_000, 300


class Abilities:
    """The inventory of this machine. Nothing is known before `remember` or the first `probe`."""

    def __init__(self, settings: Settings, user: SecondUser | None = None, errands: Errands | None = None) -> None:
        """`user`: whom probes run as, as the commands do; `errands`: reads files for them."""
        self._options = options_of(settings, user, errands)
        self._file = settings.state / FILE
        self._inventory: Inventory | None = None
        #: all probes have been run, by this process or an earlier one
        self._probed = False
        #: what the program can do on any machine
        self._program = of_program(self._options)
        self._told: tuple[Inventory | None, tuple[Capability, ...]] = (None, ())
        #: names in this machine's own probe files
        self._own: frozenset[str] = frozenset()

    @property
    def seals(self) -> bool:
        """This program can seal, and nobody has withheld that (`--without sealing`)."""
        return bool(self._program)

    def capabilities(self) -> tuple[Capability, ...]:
        """The same object as long as nothing changes."""
        inventory = self._inventory
        if inventory is not self._told[0]:
            self._told = inventory, (*inventory.capabilities, *self._program) if inventory else ()
        return self._told[1]

    def named(self) -> tuple[Capability, ...]:
        """Those of `capabilities` that a person has named: by an option, or in a file of this machine's own."""
        return tuple(
            item.capability
            for item in (self._inventory.evidence if self._inventory else ())
            if item.how == "fixed" or normal_name(item.capability.name) in self._own
        )

    def found(self) -> dict[str, str]:
        """Capability's name -> how it was found, for people: "command /usr/bin/gcc"."""
        evidence = self._inventory.evidence[:FOUND_TOLD] if self._inventory else ()
        return {
            item.capability.name: f"{item.how} {item.path or item.command}".strip()[:FOUND_MAX]
            for item in reversed(evidence)
        }

    @property
    def late(self) -> bool:
        """Some probes ran out of time: there may be more than was found."""
        return self._inventory is not None and self._inventory.late

    async def remember(self) -> bool:
        """Know what an earlier run of this agent found, where its programs are still the same.

        False: there is nothing of the kind; then only what the machine itself and people say is known.
        """
        known = await asyncio.to_thread(findings.read, self._file, self._options)
        self._probed = known is not None
        self._inventory = await remembered(known or Inventory(options=self._options), self._options)
        self._own = await asyncio.to_thread(_own_names, self._options)
        if known is None:
            return False
        log.info(
            "capabilities_loaded_from_last_run",
            total=len(self.capabilities()),
            remedy="they are verified when it is idle",
        )
        return True

    async def probe(self) -> bool:
        """Look at everything again; True when something changed."""
        return await self._learn(await detect(self._options, previous=self._inventory))

    async def probe_late(self) -> bool:
        """Look again at what ran out of time; True when something changed."""
        assert self._inventory is not None, "nothing is late before the first probe"
        return await self._learn(await detect_late(self._inventory))

    async def _learn(self, inventory: Inventory) -> bool:
        before, self._inventory = self.capabilities(), inventory
        after = self.capabilities()
        again, self._probed = self._probed, True
        self._own = await asyncio.to_thread(_own_names, self._options)
        await asyncio.to_thread(findings.write, self._file, inventory)
        log.info(
            "capabilities",
            total=len(after),
            added=_names(set(after) - set(before)) if again else None,
            dropped=_names(set(before) - set(after)) if again else None,
            failed_probes=len(inventory.failures),
            late_probes=sum(failure.late for failure in inventory.failures),
            seconds=round(inventory.seconds, 2),
        )
        return after != before

    async def still_able(self, signature: str) -> bool:
        """Cheaply, before a claim: is what decides about `signature` still there? What went away is dropped."""
        if self._inventory is None:
            return False
        requirements = Requirements.from_signature(signature)
        self._inventory = await recheck(self._inventory, requirements.names)
        return requirements.satisfied_by(self.capabilities())


def of_program(options: DetectOptions) -> tuple[Capability, ...]:
    """What this program can do on any machine, if nobody withholds it."""
    capability = Capability(name=sealing.CAPABILITY, version=sealing.CAPABILITY_VERSION)
    return () if options.removes(capability) or sealing.unavailable() is not None else (capability,)


def _own_names(options: DetectOptions) -> frozenset[str]:
    own = load(options.folders, built_in=False)
    tables = (own.probes, own.libraries, own.modules)
    return frozenset(normal_name(entry.name or name) for table in tables for name, entry in table.items())


def _names(capabilities: set[Capability]) -> list[str]:
    return sorted(f"{found.name} {found.version}" if found.version else found.name for found in capabilities)


def options_of(settings: Settings, user: SecondUser | None = None, errands: Errands | None = None) -> DetectOptions:
    """What the settings say of probing. `user`: whom probes run as; None: ourselves."""
    return DetectOptions(
        user=user,
        errands=errands or Here(),
        auto=settings.auto_capabilities,
        fixed=settings.capability,
        without=settings.without,
        folders=settings.capabilities_d,
    )
