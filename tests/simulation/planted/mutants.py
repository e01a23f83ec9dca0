"""Planted faults: machines that break one rule each. The simulator must find every one (test_mutants.py).

Each is the real machine with its inputs or actions tampered with, so that the machine itself stays as it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from contracts.codec import HEADER, Wire
from master_bridge.core.machine import BridgeMachine
from master_bridge.post_office.office import PostOffice
from tests.simulation.planted import agent_mutants as agents
from tests.simulation.planted import bridge_mutants as bridges
from tests.simulation.planted import office_mutants as offices
from worker_agent.core.machine import AgentMachine


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """What is wrong with which side, where it shows, and as what."""

    name: str
    agent: type[AgentMachine] | None = None
    bridge: type[BridgeMachine] | None = None
    #: of a master that is its own broker
    office: type[PostOffice] | None = None
    #: the edge consumes the claims queue without `exclusive` (rule 4)
    shares_claims: bool = False
    #: the edges wait for a confirm for ever; they publish what is refused on no other channel
    trusts_confirms: bool = False
    keeps_channel: bool = False
    #: an operator's program seeks again what was lost; it tells another agent than it was asked to
    tries_again: bool = False
    tells_another: bool = False
    #: (file or message, field) that is not written: "meta", or a message's type
    drops: tuple[str, str] = ("", "")
    #: profile whose schedules provoke it, and how many of them suffice
    profile: str = "mixed"
    seeds: int = 100
    #: the invariants that it may violate; the first is the one that it was planted for
    violates: tuple[str, ...] = ()

    def written(self, kind: str, text: str) -> str:
        """JSON on its way to a disk or a wire."""
        if kind != self.drops[0]:
            return text
        fields = json.loads(text)
        fields.pop(self.drops[1], None)
        return json.dumps(fields)

    def sent(self, wire: Wire) -> Wire:
        """A message on its way to the broker."""
        if wire.type != self.drops[0]:
            return wire
        if HEADER in wire.headers:
            return replace(wire, headers={HEADER: self.written(wire.type, wire.headers[HEADER])})
        return replace(wire, body=self.written(wire.type, wire.body.decode()).encode())

    def agent_machine(self, machine: type[AgentMachine]) -> type[AgentMachine]:
        return self.agent or machine

    def post_office(self, master: str, user: str, mail_bytes_max: int) -> PostOffice:
        """Of a master that is its own broker."""
        return (self.office or PostOffice)(master, user, mail_bytes_max=mail_bytes_max)

    def bridge_machine(self, machine: type[BridgeMachine]) -> type[BridgeMachine]:
        return self.bridge or machine


NONE = Mutant(name="none")


_LEFT_OVER = "nothing is left over, every agent ends idle and consuming"
_ONCE = "a restarted master runs no command again"
_RUNS_ONCE = "a command runs once in a session"
_WRITTEN = "what is written is what is read"
_SEALED = "what is sealed is nowhere in plain text"
_ORDER = "every event reaches Buildbot once, in order"

MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant
    for mutant in (
        Mutant(
            name="office_is_never_done",
            office=offices.NeverDone,
            profile="office",
            seeds=20,
            violates=("no message is delivered more than 25 times",),
        ),
        Mutant(
            name="office_parks_for_ever", office=offices.ParksForEver, profile="office_commands", violates=(_LEFT_OVER,)
        ),
        Mutant(
            name="office_confirms_what_it_drops",
            office=offices.ConfirmsWhatItDrops,
            profile="office",
            violates=(_LEFT_OVER,),
        ),
        Mutant(
            name="office_tells_the_wrong_one",
            office=offices.TellsTheWrongOne,
            profile="office",
            violates=(_LEFT_OVER, "no message is delivered more than 25 times"),
        ),
        Mutant(
            name="office_keeps_no_claims",
            office=offices.KeepsNoClaims,
            profile="office",
            seeds=1900,
            violates=("strict fencing: never two runs at a time", "at most one agent runs a request's commands"),
        ),
        Mutant(name="starts_again", agent=agents.StartsAgain, profile="links", violates=(_RUNS_ONCE,)),
        Mutant(name="keeps_sessions", agent=agents.KeepsSessions, profile="calm", violates=(_LEFT_OVER,)),
        Mutant(
            name="ignores_refusals",
            agent=agents.IgnoresRefusals,
            profile="links",
            seeds=300,
            violates=("no zombies: who is told that a session is over ends it", _LEFT_OVER),
        ),
        Mutant(name="never_acknowledges", agent=agents.NeverAcknowledges, profile="calm", violates=(_LEFT_OVER,)),
        Mutant(name="goes_deaf", agent=agents.GoesDeaf, profile="calm", violates=(_LEFT_OVER,)),
        Mutant(
            name="gives_back",
            agent=agents.GivesBack,
            profile="dead_master",
            violates=("no message is delivered more than 25 times",),
        ),
        Mutant(
            name="serves_one_queue_first",
            agent=agents.ServesOneQueueFirst,
            profile="backlog",
            violates=("no message is delivered more than 25 times",),
        ),
        Mutant(
            name="forgets_silence",
            agent=agents.ForgetsSilence,
            profile="dead_master",
            violates=("a dead master delays a living one by under a second",),
        ),
        Mutant(
            name="takes_any_for_first", agent=agents.TakesAnyForFirst, profile="blackout", seeds=300, violates=(_ONCE,)
        ),
        Mutant(
            name="believes_digests",
            agent=agents.BelievesDigests,
            profile="masters",
            violates=("a changed command is never taken for the old one",),
        ),
        Mutant(
            name="changes_replays",
            agent=agents.ChangesReplays,
            profile="masters",
            violates=("every event reaches Buildbot as it was",),
        ),
        Mutant(
            name="never_pauses",
            agent=agents.NeverPauses,
            profile="agents",
            seeds=300,
            violates=("no machine burns builds",),
        ),
        Mutant(
            name="interrupts_on_its_own",
            agent=agents.InterruptsOnItsOwn,
            profile="links",
            violates=("only what a user stopped is CANCELLED",),
        ),
        Mutant(
            name="grants_twice",
            bridge=bridges.GrantsTwice,
            profile="commands",
            violates=("at most one agent runs a request's commands",),
        ),
        Mutant(name="delivers_again", bridge=bridges.DeliversAgain, profile="links", violates=(_ORDER,)),
        Mutant(name="skips_gaps", bridge=bridges.SkipsGaps, profile="flow", seeds=400, violates=(_ORDER,)),
        Mutant(name="swallows_losses", bridge=bridges.SwallowsLosses, profile="agents", violates=(_LEFT_OVER,)),
        Mutant(
            name="abandons_at_once",
            bridge=bridges.AbandonsAtOnce,
            profile="agents",
            violates=("only what cost three lives is abandoned",),
        ),
        Mutant(
            name="forgets_fencing",
            bridge=bridges.ForgetsFencing,
            profile="strict",
            seeds=300,
            violates=("strict fencing: never two runs at a time",),
        ),
        Mutant(name="calls_no_roll", bridge=bridges.CallsNoRoll, profile="restart", violates=(_ONCE,)),
        Mutant(name="never_asks", bridge=bridges.NeverAsks, profile="crowd", seeds=300, violates=(_ONCE,)),
        Mutant(name="keeps_claims", bridge=bridges.KeepsClaims, profile="calm", violates=(_LEFT_OVER,)),
        Mutant(
            name="sweeps_its_own_only",
            bridge=bridges.SweepsItsOwnOnly,
            profile="last_agents",
            violates=(_LEFT_OVER,),
        ),
        Mutant(name="never_sweeps", bridge=bridges.NeverSweeps, profile="last_agents", violates=(_LEFT_OVER,)),
        Mutant(name="sweeps_what_waits", bridge=bridges.SweepsWhatWaits, profile="agents", violates=(_LEFT_OVER,)),
        Mutant(name="offers_once", bridge=bridges.OffersOnce, profile="people", violates=(_LEFT_OVER,)),
        Mutant(
            name="believes_copies",
            bridge=bridges.BelievesCopies,
            profile="copies",
            violates=(_ONCE, "without faults nothing is tried twice"),
        ),
        Mutant(
            name="believes_anybody",
            bridge=bridges.BelievesAnybody,
            profile="strangers",
            violates=("nothing is granted to whom nothing was offered", _LEFT_OVER),
        ),
        Mutant(
            name="forgets_tickets",
            bridge=bridges.ForgetsTickets,
            profile="strangers",
            violates=("nothing is granted to whom nothing was offered",),
        ),
        Mutant(
            name="obeys_any_user",
            agent=agents.ObeysAnyUser,
            profile="strangers",
            violates=("only what a user stopped is CANCELLED",),
        ),
        Mutant(
            name="counts_silence_of_fenced",
            bridge=bridges.CountsSilenceOfFenced,
            profile="strict",
            seeds=300,
            violates=("strict fencing: never two runs at a time",),
        ),
        Mutant(name="keeps_waited_for", bridge=bridges.KeepsWaitedFor, profile="masters", violates=(_LEFT_OVER,)),
        Mutant(
            name="shares_claims",
            shares_claims=True,
            profile="twins",
            violates=("a second master of one name stops itself",),
        ),
        Mutant(name="trusts_confirms", trusts_confirms=True, profile="leaders", violates=(_LEFT_OVER,)),
        Mutant(name="keeps_channel", keeps_channel=True, profile="leaders", violates=(_LEFT_OVER,)),
        Mutant(
            name="buries_what_waits",
            agent=agents.BuriesWhatWaits,
            profile="masters",
            violates=("nothing goes to the dead that lives",),
        ),
        Mutant(
            name="starts_all_at_once",
            agent=agents.StartsAllAtOnce,
            profile="commands",
            violates=("a session's commands run one at a time",),
        ),
        Mutant(
            name="attaches_again",
            bridge=bridges.AttachesAgain,
            profile="links",
            violates=("a build is attached once",),
        ),
        Mutant(
            name="delivers_early",
            agent=agents.OpensTheGate,
            bridge=bridges.DeliversEarly,
            profile="restart",
            violates=("events belong to commands that Buildbot started",),
        ),
        Mutant(
            name="delivers_unattached",
            agent=agents.OpensTheGate,
            bridge=bridges.DeliversUnattached,
            profile="restart",
            violates=("events belong to commands that Buildbot started", "events come to builds that are attached"),
        ),
        Mutant(
            name="loses_twice",
            bridge=bridges.LosesTwice,
            profile="agents",
            violates=("the bridge speaks of builds that are",),
        ),
        Mutant(
            name="loses_at_once",
            bridge=bridges.LosesAtOnce,
            profile="calm",
            violates=("without faults nothing is tried twice",),
        ),
        Mutant(
            name="swallows_earlier_stops",
            agent=agents.InterruptsOnItsOwn,
            bridge=bridges.SwallowsEarlierStops,
            profile="links",
            violates=("only what a user stopped is interrupted",),
        ),
        Mutant(
            name="forgets_its_grants",
            agent=agents.ForgetsItsGrants,
            profile="agents",
            violates=("a session that was granted waits for its next grant",),
        ),
        Mutant(
            name="forgets_its_runs",
            agent=agents.ForgetsItsRuns,
            profile="both_restart",
            violates=("a resume tells the run that was granted last",),
        ),
        Mutant(name="writes_no_grants", drops=("meta", "granted"), profile="calm", violates=(_WRITTEN,)),
        Mutant(
            name="journals_no_interrupts",
            drops=("journal", "interrupted"),
            profile="people",
            violates=("every event reaches Buildbot as it was",),
        ),
        Mutant(name="sends_in_plain", bridge=bridges.SendsInPlain, profile="calm", violates=(_SEALED,)),
        Mutant(name="offers_in_plain", bridge=bridges.OffersInPlain, profile="commands", violates=(_SEALED,)),
        Mutant(name="speaks_in_plain", agent=agents.SpeaksInPlain, profile="calm", violates=(_SEALED,)),
        Mutant(name="crashes", bridge=bridges.Crashes, profile="links", violates=("no machine crashes",)),
        Mutant(
            name="keeps_operators",
            agent=agents.KeepsOperators,
            profile="operators",
            violates=(_LEFT_OVER,),
        ),
        Mutant(
            name="takes_operators_when_idle",
            agent=agents.TakesOperatorsWhenIdle,
            profile="operators_calm",
            violates=("an operator waits for no build",),
        ),
        Mutant(
            name="tries_operators_again",
            tries_again=True,
            profile="operators",
            violates=("an operator's command runs once",),
        ),
        Mutant(
            name="tells_another",
            tells_another=True,
            profile="operators_calm",
            violates=("an operator's command runs on the agent that was told",),
        ),
        Mutant(name="has_no_grace", bridge=bridges.HasNoGrace, profile="restart", violates=(_ONCE,)),
    )
}
