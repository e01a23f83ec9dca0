"""The conformance kit, a program of its own: plays a master against any agent and checks what it does.

`run.run_kit` runs it, `python -m conformance` and `master-bridge conformance` are its command,
docs/how-to/write-an-agent.md explains it.

Not here: anything of the bridge or of our agent; an agent in any language is tested as it is.
"""
