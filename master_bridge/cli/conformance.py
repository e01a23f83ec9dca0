"""`master-bridge conformance`: the conformance kit, which is a program of its own (`python -m conformance`)."""

from conformance.program import command

__all__ = ["command"]
