"""A user's mistake: one clear message and exit code 2, as for a wrong option but without the usage lines."""

import click


class Mistake(click.ClickException):
    """What was given cannot be used; the message says what was expected."""

    exit_code = 2
