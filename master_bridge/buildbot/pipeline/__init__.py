"""Pipelines: a program's lines become steps of its build, while it runs.

Not here: what a line may be (`contracts.pipeline`), and when its step starts (`master_bridge.core.pipeline`).
"""
