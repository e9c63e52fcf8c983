"""Prices that can be compared over years: a company's names, its actions, and what each does to older prices."""
