"""The bridge's link to its agents: a port, what reads that comes, and settings; below, one folder a transport.

Not here: anything of Buildbot, and what messages mean.
"""
