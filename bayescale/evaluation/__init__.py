"""How far a fit can be trusted: checks, cross-validation, backtests."""
