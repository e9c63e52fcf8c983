"""The journal on disk, and its delivery to MLflow as runs."""
