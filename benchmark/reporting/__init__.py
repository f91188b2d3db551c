"""From records to tables and figures, without torch."""
