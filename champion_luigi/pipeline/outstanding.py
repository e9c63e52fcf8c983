"""Work that cannot be done yet, as Luigi sees it."""

from __future__ import annotations

import luigi


class Outstanding(luigi.ExternalTask):
    """Work that could not be done: this task appears in Luigi's summary, and makes the exit code 20."""

    what = luigi.Parameter(description="what is outstanding, and when to try again")

    def complete(self) -> bool:
        """Never true in the run that reports it."""
        return False
