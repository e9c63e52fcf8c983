"""The ClickHouse tables: connecting, creating, loading, querying."""

from champion_luigi.warehouse.table import ddl

__all__ = ["ddl"]
