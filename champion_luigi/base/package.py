"""The version of this package, as installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("champion_luigi")
except PackageNotFoundError:  # imported from a checkout that is not installed
    VERSION = "0+unknown"
