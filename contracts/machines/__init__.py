"""What both cores are built with: transitions as a table, exhaustive dispatch. Pure."""
