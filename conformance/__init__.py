"""Conformance kit: plays a master against any agent and says which requirements of the protocol it meets.

`run.run_kit` runs it, `master-bridge conformance` is its command, docs/how-to/write-an-agent.md explains it. What is
required stands in `checks/`, one function each, with the number of its rule in docs/protocol.md.
"""
