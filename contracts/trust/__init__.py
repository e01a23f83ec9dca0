"""Whom and what is believed: envelopes, signatures, tickets, sealed messages.

Not here: accounts and permissions at the broker (`master_bridge.management`). Keys are read from files here.
"""
