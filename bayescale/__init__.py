"""Bayesian neural scaling laws: from a table of training runs to a posterior over the next run.

The public names are those of ``__init__.pyi``. They live in the modules beside this one and are
loaded when first used, because importing PyMC takes seconds and reading runs or listing models does
not need it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
