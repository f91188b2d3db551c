"""Running many cells: in processes of this machine, or by workers that a cluster starts, each the same command."""
