"""The protocols: ways of using weights on a task, such as fine-tuning, linear evaluation and fusion."""
