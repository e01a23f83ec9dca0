"""The fleet as a master sees it, and what a master tells of itself."""
