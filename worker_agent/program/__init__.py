"""The program `worker-agent`: its command line, settings, logs, and the way from them to a running agent."""
