"""Tasks: one sheet of facts (YAML) each, read, checked and digested. Facts here, code in data/readers."""
