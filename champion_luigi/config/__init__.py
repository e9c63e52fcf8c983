"""Every setting, and the archive, lake and warehouse that the settings name."""
