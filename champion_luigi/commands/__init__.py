"""What people type: the `champion` command, one module or package a command."""
