"""How weights are used on a task: fine-tuned, under a linear layer, fused …; what each protocol is and what it does."""
