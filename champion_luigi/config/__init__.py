"""Every setting, and the archive, files and warehouse that the settings name."""
