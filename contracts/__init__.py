"""What both sides agree on: messages, codec, names on the broker, times, digests, signatures, tickets.

Pure but for keys that are read from files. Not here: what only programs share (`operations`), and anything of one side.
"""
