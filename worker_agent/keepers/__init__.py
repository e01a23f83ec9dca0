"""What the main process knows of keepers: their sockets, sessions, files, spares and journals."""
