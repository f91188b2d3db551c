"""The one training loop, its exact state on disk, losses and optimizers."""
