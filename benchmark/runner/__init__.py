"""From a cell to its record: inputs, training, judging, and what the record says of the machine."""
