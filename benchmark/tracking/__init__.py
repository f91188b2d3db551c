"""Runs logged to other programs: TensorBoard, MLflow, Weights & Biases."""
