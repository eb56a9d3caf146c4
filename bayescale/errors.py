"""Everything bayescale refuses or warns about; catch `BayescaleError` to catch them all."""


class BayescaleError(Exception):
    """A refusal a user can act on; its message says what is wrong, where, and what to do."""


class RunsError(BayescaleError):
    """The table of training runs cannot be used as it stands."""


class ModelError(BayescaleError):
    """The model specification is wrong, or does not fit the runs."""


class FitError(BayescaleError):
    """Sampling failed, did not converge, or a saved fit cannot be read."""


class UnansweredError(FitError):
    """Draws that did not converge leave a question without an answer."""


class DatasetError(BayescaleError):
    """A published table is unknown, unreachable, or not the file it should be."""


class RunsWarning(UserWarning):
    """The runs can be used, but something in them deserves a look before the result is believed."""
