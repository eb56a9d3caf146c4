"""Forecasts of single-axis curves beyond their range; one file for a curve, one for a table.

How good they are (``benchmarks/language_curves.py``): on 20 published learning curves up to a third
of a decade beyond their training points 90% intervals cover 90% and 50% intervals 37%; the RMSE of
log loss is .0125, the CRPS .0081. Least squares with estimator M4 of Alabdulmohsin et al. (2022,
arXiv:2209.06640) and a bootstrap predicts those curves better: .0072 and .0049, with the same
coverage of 90% intervals. What is gained is an interval that widens with the distance, and a slope
that can tell of a rise.

What they cost (``benchmarks/drifting_curves.py``): where a power law with offset is exactly true,
the drifting power law's 90% intervals are 1.2 times as wide as the rigid law's half a decade beyond
the range and 1.4 times one decade beyond, with the drift learned across 40 curves; for a curve on
its own 1.6 and 2.1 times.
"""
