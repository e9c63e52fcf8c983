"""Luigi: the five tasks of a day, the range, threads, events, one day from Python."""
