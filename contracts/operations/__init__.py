"""What both sides' programs share and no wire knows: where a broker is, why it cannot be had, findings, log lines."""
