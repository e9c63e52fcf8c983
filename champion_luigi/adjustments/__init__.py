"""Prices that can be compared over years: events, factors, and the spans of dates for which they hold.

Frames in, frames out. `instruments` follows a company through its symbols, `events` turns corporate actions into
adjustments, and `spans` into the factors of each symbol's rows.
"""
