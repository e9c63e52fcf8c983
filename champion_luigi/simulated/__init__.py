"""The simulated exchange, one writer a data set."""
