"""The verbs as functions: what `import benchmark` offers and the command line calls."""
