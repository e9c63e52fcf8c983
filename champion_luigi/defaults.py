"""Luigi's own settings, made safe: cron runs in a folder that has no ``luigi.cfg``.

Whatever a ``luigi.cfg`` says, wins.
"""

from __future__ import annotations

import warnings

import luigi

DEFAULTS: dict[tuple[str, str], str] = {
    # Luigi exits 0 after failures unless it is told otherwise.
    ("retcode", "already_running"): "10",
    ("retcode", "missing_data"): "20",
    ("retcode", "not_run"): "25",
    ("retcode", "task_failed"): "30",
    ("retcode", "scheduling_error"): "35",
    ("retcode", "unhandled_exception"): "40",
    # A run() that leaves no output has failed.
    ("worker", "check_complete_on_run"): "true",
    # Retries are inside the tasks, on transient errors alone.
    ("scheduler", "retry_count"): "1",
    ("core", "log_level"): "INFO",
    # Two commands for one day wait for each other at the day's own lock; Luigi's would end the second with 10.
    ("core", "no_lock"): "true",
}


# Luigi warns of an option that is no parameter, and shows its value; these are read all the same, and can hold a
# password.
_READ_ALL_THE_SAME = r"The configuration contains the parameter '(default_scheduler_url|password)'"


def apply() -> None:
    """Set what no configuration file has set."""
    warnings.filterwarnings("ignore", _READ_ALL_THE_SAME, luigi.parameter.UnconsumedParameterWarning)
    configuration = luigi.configuration.get_config()
    for (section, option), value in DEFAULTS.items():
        if not configuration.has_option(section, option):
            configuration.set(section, option, value)
