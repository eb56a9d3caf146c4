"""Forecasts of single-axis curves beyond their range; one file for a curve, one for a table."""
