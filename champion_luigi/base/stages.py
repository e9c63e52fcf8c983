"""The five stages of a day, in order: the names that people type, and the Luigi tasks that run them."""

from __future__ import annotations

# A stage's number is its position here.
TASKS = {
    "scrape": "ScrapeBhavcopy",
    "parse": "ParseBhavcopy",
    "normalize": "NormalizeBhavcopy",
    "write": "WriteParquet",
    "load": "LoadClickHouse",
}
STAGES = tuple(TASKS)
# The stage that a task runs, by the task's name.
STAGE_OF = {task: stage for stage, task in TASKS.items()}
# The number of that stage.
NUMBER_OF = {task: number for number, task in enumerate(STAGE_OF)}
