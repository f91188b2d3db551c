"""The `benchmark` command."""
