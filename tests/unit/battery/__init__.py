"""The battery's core: rules one by one, and whole fleets in virtual time."""
