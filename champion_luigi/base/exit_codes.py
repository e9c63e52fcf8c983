"""The exit codes of `luigi` and `champion`, by their names in Luigi's [retcode]."""

from __future__ import annotations

# Luigi exits 0 after failures unless configured otherwise.
OF_LUIGI = {
    "already_running": 10,
    "missing_data": 20,
    "not_run": 25,
    "task_failed": 30,
    "scheduling_error": 35,
    "unhandled_exception": 40,
}
# Of `champion` alone: everything that the archive has is there, and sessions are absent: no source has their file.
ABSENT = 15
