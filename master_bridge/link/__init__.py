"""The bridge's link to the broker: two AMQP connections, on Twisted, with reconnection.

`link` keeps it up and is its door, `settings` says how to reach the broker, `connections` opens everything
once, `reader` reads what comes. Not here: anything of Buildbot, and what messages mean.
"""
