"""The program `worker-agent`: its command line, settings, logs, and the way from them to a running agent.

Not here: what a running agent does. `settings` is read by all folders but `core` and `keeper`.
"""
