"""`champion prices`: prices that can be compared over years, as a table, a file or a chart."""
