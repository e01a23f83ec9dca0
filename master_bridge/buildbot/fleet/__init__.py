"""The fleet as this master sees it, and what this master tells of itself: catalogue, overview, metrics."""
