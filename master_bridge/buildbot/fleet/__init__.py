"""The fleet as this master sees it, and what this master tells of itself: catalogue, overview, metrics.

Not here: the way of a single build (`search`).
"""
