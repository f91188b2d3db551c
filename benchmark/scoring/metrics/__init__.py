"""The metrics: one file per family, each with a tuple METRICS; `registry` lists them all."""
