"""The agent as a real process against a real RabbitMQ; the bridge's part is played by a scripted master."""
