"""The bridge's state machine: inputs and clock ticks in, actions out. No socket, no reactor, no `async`.

`inputs` are all it can be told, `actions` all it can ask for.

Not here: I/O, threads, Deferreds, anything of Buildbot.
"""
