"""Single-axis curves: label, exponent, slope, regimes and forecast, all of one posterior.

A law of a model file is sampled in NumPy (`posterior`, by `importance`), together with the other
curves of a table (`together`, `population`). Other laws have a say where the evidence (`evidence`,
`rule`) is for them. Sweeps along a setting, which have a minimum, are in `sweep`.
"""
