"""The bridge's link to the broker: two AMQP connections, on Twisted, with reconnection. Knows nothing of Buildbot.

`settings` says how to reach the broker, `declarations` what to declare there, `protocol` and `channel` adapt pika,
`publisher` and `consumer` are the two connections, `link` keeps them up.
"""
