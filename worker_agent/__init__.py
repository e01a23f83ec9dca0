"""The worker agent: finds out what its machine can do, consumes the queues it qualifies for, runs the commands.

Not here: what one folder alone needs. No Buildbot, no Twisted.
"""
