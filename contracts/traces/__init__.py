"""Traces: what both sides say of a build's way, as spans, and their way out by OTLP. Pure, but for `export`.

`export` alone imports opentelemetry, and nothing imports `export` where traces are not asked for.

Not here: which spans there are (`master_bridge.buildbot.traces`, `worker_agent.reporting.traces`).
"""
