"""What operators do from a shell: look at the fleet, steer agents, repair queues.

`connection` is the way to the broker, `survey` what is heard there, the others one task each; `master_bridge.cli` is
their face. Not here: Buildbot and Twisted.
"""
