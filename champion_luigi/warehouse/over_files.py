"""The warehouse's views over files of the lake, in an embedded engine that stores nothing.

For readers while another process holds the warehouse, and where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from champion_luigi.base import object_options
from champion_luigi.base.places import ObjectPath, Place
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Dataset
from champion_luigi.warehouse import adjusted, comments, table
from champion_luigi.warehouse.connection import Address, as_warehouse_errors, connect_embedded
from champion_luigi.warehouse.layout import text_of
from champion_luigi.warehouse.statements import Questions

# What the engine would not take as the name of a folder.
_PATTERN = re.compile(r"[*?{}\[\]]")


def is_possible(root: Place) -> bool:
    """Whether the engine can read the files of a lake: it reads some characters of a path as a pattern.

    Of the object stores, it reads those with the API of S3.
    """
    return root.bucket.startswith("s3:") if isinstance(root, ObjectPath) else not _PATTERN.search(str(root))


def open_over_files(
    place: Address,
    root: Place,
    datasets: Mapping[Dataset, str],
    adjustments: Mapping[str, Place],
    most_rows: int | None,
) -> Questions:
    """The views of these data sets, over the files below ``root`` that match a pattern, for reading alone.

    ``adjustments`` has the files of `adjusted.ADJUSTMENTS` and `adjusted.ADJUSTMENT_SPANS`, or nothing. ``place`` gives
    the database and the time limit, ``most_rows`` is as for `open_for_questions`. Raises WarehouseError, or
    NotInstalled.
    """
    inside = replace(place, host="", folder=root, in_memory=True)
    inside.require_engine()
    statements = [statement for dataset in datasets for statement in table.ddl(place.database, dataset)]
    shown: dict[str, Mapping[str, str]] = {}
    for dataset in datasets:
        shown |= table.comments_of(dataset)
    files = {dataset.table: pattern for dataset, pattern in datasets.items()}
    if adjustments and EQUITY in datasets:
        statements += adjusted.ddl(place.database).values()
        shown |= adjusted.COMMENTS
        files |= {adjusted.table_of(name): str(path) for name, path in adjustments.items()}
    client = connect_embedded(inside, {})
    questions = Questions(inside, client, lambda: None, write=False)
    try:
        with as_warehouse_errors(inside):
            for statement in statements:
                client.command(_over(statement, files))
        comments.complete(questions, shown)
        questions.prepare(most_rows)
    except BaseException:
        questions.close()
        raise
    return questions


def _over(statement: str, files: Mapping[str, str]) -> str:
    """A statement of the warehouse, for tables that are files: each row is there once, in its only version."""
    head, engine, _ = statement.partition("\n) ENGINE = ")
    if not engine:
        return statement.replace(" FINAL", "")
    [pattern] = [pattern for name, pattern in files.items() if f".{name} (" in head]
    return f"{head}\n) ENGINE = {_engine(pattern)}"


def _engine(pattern: str) -> str:
    """The engine of a table over the files that match a pattern."""
    if not pattern.startswith("s3://"):
        return f"File(Parquet, {text_of(pattern)})"
    bucket, _, key = pattern.removeprefix("s3://").partition("/")
    given = object_options.options(f"s3://{bucket}")
    endpoint = given.get("aws_endpoint_url") or f"https://s3.{given['aws_region']}.amazonaws.com"
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    credentials = [text_of(given[name]) for name in names if name in given]
    return f"S3({', '.join([text_of(f'{endpoint}/{bucket}/{key}'), *credentials, text_of('Parquet')])})"
