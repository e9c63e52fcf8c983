"""What the exchange publishes, one module a data set: places, layouts, columns, key, rules. No I/O."""
