"""Where measurements are taken: broker, masters, workers, and the processes that play them."""
