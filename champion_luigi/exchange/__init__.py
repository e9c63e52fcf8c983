"""The trading days, the archive's answers, the meaning of a 404, and fetching a file."""
