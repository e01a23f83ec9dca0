"""Files between master and agent: what downloads serve, what uploads bring, archives unpacked.

Not here: a command's output (`output`).
"""
