"""`ptstream completion`: a shell's completion script."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ptstream.cli.complete import SCRIPTS
from ptstream.cli.screen import Screen

EXAMPLES = """
source <(ptstream completion bash)             in bash, or in ~/.bashrc
ptstream completion zsh > ~/.zfunc/_ptstream   with ~/.zfunc in fpath
ptstream completion fish > ~/.config/fish/completions/ptstream.fish
"""


class Shell(StrEnum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def command(shell: Annotated[Shell, typer.Argument(help="Which shell.", show_default=False)]) -> None:
    """The command."""
    Screen().text(SCRIPTS[shell.value])
