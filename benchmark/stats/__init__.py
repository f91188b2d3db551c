"""Arrays in, numbers out: metrics and significance, with numpy and scipy alone."""
