"""`champion sql`: users' statements and their results."""
