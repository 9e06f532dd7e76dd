"""The one error that a user can mend: its text is shown alone, without a traceback."""


class UserError(Exception):
    """Says which key or file is wrong, what is wrong with it, what is allowed and what to do."""
