"""New encoders from old: trained on a task, or on images without labels, and registered in the user's zoo."""
