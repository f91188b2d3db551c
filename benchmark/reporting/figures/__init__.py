"""Figures of a report: PNG, SVG and the CSV behind each, from records alone."""
