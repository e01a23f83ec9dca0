"""What the agent tells of itself: its status, metrics, health, columns and facts."""
