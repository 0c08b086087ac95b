"""`ptstream path`: where the database is. The work is done in `fast_path.py`."""

from __future__ import annotations

import typer

from ptstream.cli import fast_path
from ptstream.cli.app import session

EXAMPLES = """
sqlite3 "$(ptstream path)" 'SELECT id, status FROM streams'
du -h "$(ptstream path)"
"""


def command(ctx: typer.Context) -> None:
    """The command."""
    raise typer.Exit(fast_path.path(*session(ctx)))
