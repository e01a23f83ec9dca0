"""The machines of a schedule and what runs on them."""
