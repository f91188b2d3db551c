"""One cell -> one record."""
