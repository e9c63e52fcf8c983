"""The ClickHouse tables: connecting, creating, loading, querying."""
