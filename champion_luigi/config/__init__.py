"""Every setting, and the archive, files and warehouse that the settings name.

Luigi reads the configuration, so importing this package, or a module of it, imports Luigi and sets its defaults.
"""

from champion_luigi.base import imports as _imports

_imports.leave_alone("luigi")

from champion_luigi.config import luigi_defaults as _luigi_defaults  # noqa: E402

_luigi_defaults.apply()
