"""`python -m conformance`: the same as `master-bridge conformance`."""

from conformance.program import command

command(prog_name="python -m conformance")
