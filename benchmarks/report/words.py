"""What the page says to somebody who knows nothing of all this: each case, each peer, each picture."""

from __future__ import annotations

#: In the order of the page.
CASES = {
    "steps": (
        "One build of many steps, each of which runs the program `true`, which does nothing: the time from "
        "one step's begin to the next one's is what a step costs. `of it Buildbot alone` is a step that asks "
        "no worker for anything."
    ),
    "database": (
        "How often Buildbot asks its database (calls) and writes for good (commits), for a step that runs "
        "`true` and for a build of one such step. These are counts, the same on each machine."
    ),
    "log": (
        "A command prints lines of 100 bytes, which end in Buildbot's database: one such build, and eight at "
        "the same time on eight workers. And how long after a step's begin somebody who looks at the log sees "
        "its first line."
    ),
    "transfers": (
        "A file from the worker to the master (upload) and back (download), in blocks of this size. `raw "
        "broker` is what RabbitMQ itself carries in messages of that size from one process to another."
    ),
    "dispatch": "From the moment at which somebody asks for a build until its first command runs.",
    "many": "24 builds of 10 steps, 8 workers: steps a second of all of them together.",
    "fanout": (
        "Short builds, of one `true` step each, all asked for at once: builds a second, and the processor "
        "time that master and workers take for one build."
    ),
    "failover": (
        "A worker runs a command and is killed (with all that it runs; its main process alone), or the master "
        "is killed and started again: how long until the command runs somewhere else, or goes on."
    ),
    "start": (
        "From the start of a worker's program until it takes work, with the search for what the machine can "
        "do (`--auto-capabilities`): for the first time, again, and 24 at once. PB's workers search for "
        "nothing."
    ),
    "wide": (
        "A master with 300 and with 1,000 workers (PB) or places for agents (ours): how long it takes to "
        "start, to read its configuration again, and to stop."
    ),
    "footprint": (
        "What a worker costs that has nothing to do: memory, processor time, and its start. Proportional "
        "memory counts what processes share once."
    ),
    "claims": (
        "From the offer of a build to the claim of an agent that has nothing to do. Beside it what a bare "
        "message takes on that broker, and what the disk takes to keep something for good (`fsync`)."
    ),
    "scale": "What one claim costs as agents, kinds of work and waiting builds become more.",
    "thousands": (
        "Fleets of thousands of agents that have nothing to do, and what happens when all are busy at a "
        "restart or builds come faster and faster. A bar is a way to run the broker: on one node, on three, "
        "with a setting."
    ),
    "page": (
        "The page of the fleet in Buildbot with 1,000 agents: how long a browser takes to show it, what ten "
        "people who look at it cost the master, and how old what they see is."
    ),
    "battery": "Tests of very different length, shared among eight machines of which two are slow.",
    "soak": (
        "Builds without a pause, after a warm-up that fills what fills once: what grows in an hour, with the 95 % "
        "confidence interval. Nothing can be shown to grow where zero is in it; its upper end is what could still hide."
    ),
}
PEERS = (
    "PB is Buildbot's own protocol (Perspective Broker), PB-nodelay the same with TCP_NODELAY on both ends, "
    "msgpack Buildbot's experimental one; ours is this project over RabbitMQ; amp, zmq and ssh are this "
    "project without a broker."
)
HOW = (
    "Each plot is one measured thing, with the unit and what is better below its axis, which begins at 0. A "
    "bar is the median of its rounds, the thin line on it goes from the least to the greatest, the number "
    "beside it says the same. Blue is this project, grey what it is compared to. All bars of a colour's "
    "strength were measured in turns in one run on one machine: compare the bars of one plot, never figures "
    "of two machines."
)
DOCUMENTED = (
    "Pale bars, as documented, are of another run: there agents run as README starts them, with default "
    "settings and --auto-capabilities. Compare pale bars with pale ones."
)
GOALS = "A red line is a goal: bars are to end before it where shorter is better, and beyond it where longer is."
#: By the name of the file.
PICTURES = {
    "ratios": (
        "All in one picture: how many times as good as PB. Bars to the right of the line at 1 are better than PB."
    ),
    "scale-agents": "What a claim costs by the number of agents",
    "scale-signatures": "What a claim costs by the number of kinds of work (signatures)",
    "scale-offers": "What a claim costs by the number of waiting builds (offers)",
    "battery-makespan": "A battery of tests: time by the least possible; lower is better, 1 is the best there is",
}
