"""Which days are traded, what the archive answered, what a 404 means, and fetching a file."""
