"""What happened: the journal on disk, and its way to MLflow."""
