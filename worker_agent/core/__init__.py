"""The agent's state machine: inputs and clock ticks in, actions out. No socket, no sleep, no `async`.

`inputs` are all it can be told, `actions` all it can ask for, `journal` is what it reads sessions from.

Not here: I/O, threads, tasks, anything of AMQP.
"""
