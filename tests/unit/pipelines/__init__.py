"""What lines may be, and when the steps that they become start."""
