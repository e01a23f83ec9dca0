"""A build's or a step's search for an agent."""
