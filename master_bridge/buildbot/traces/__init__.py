"""Each build's trace, as its master sees it: the search for an agent, the session, its commands.

Not here: spans and their way out (`contracts.traces`), and what the bridge counts (`fleet`).
"""
