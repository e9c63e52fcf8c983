"""`champion doctor`: its checks and their report."""
