"""The results folder: records, predictions, and who may write them."""
