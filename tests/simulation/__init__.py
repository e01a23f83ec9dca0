"""Both state machines under a virtual clock and a seeded network that does to them what networks do.

    python -m tests.simulation --profile mixed --seed 17      replays one schedule, readable
    python -m tests.simulation --profile mixed --seeds 500    searches; a failing seed is shrunk and printed

plan.py         what happens in a schedule: jobs and faults, from profile and seed
run.py          carries a plan out and settles it
ledger.py       the truth: who ran what, and the invariants that are checked while it happens
verdict.py      the invariants that are checked at the end
agent_host.py   a machine with an agent: disk, process, keepers (keeper.py), AMQP edge (agent_link.py)
master_host.py  a machine with a master: Buildbot (buildbot.py), AMQP edge (bridge_link.py)
outlet.py       publishing with confirms, which both edges do alike
faults.py       carries out one fault
shrink.py       drops what a failing schedule does not need
mutants.py      planted faults that the invariants must find
"""
