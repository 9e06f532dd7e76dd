"""Errors that a user can mend: their text is shown alone, without a traceback."""


class UserError(Exception):
    """Says which key or file is wrong, what is wrong with it, what is allowed and what to do."""


class StoppedError(UserError):
    """The process was asked to end; what it had done is saved."""

    def __init__(self, name: str, place: str) -> None:
        super().__init__(f"stopped by {name} in {place}; run snakemake again to go on from there")
