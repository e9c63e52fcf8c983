"""The name of this package, and its version, as installed."""

from importlib.metadata import PackageNotFoundError, version

PACKAGE = "champion_luigi"

try:
    VERSION = version(PACKAGE)
except PackageNotFoundError:  # imported from a checkout that is not installed
    VERSION = "0+unknown"
