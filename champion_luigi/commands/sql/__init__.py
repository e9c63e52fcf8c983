"""`champion sql`: statements that people write, and their results."""
