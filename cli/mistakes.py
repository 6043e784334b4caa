"""What is said of a command line whose options or words are not those of a command.

cyclopts finds the mistake; its own words speak of tokens and parameters, compare names with their dashes, so that
``--text`` is taken for ``--quiet``, and take an option that is missing for one that lacks a value.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from cyclopts.exceptions import (
    ConsumeMultipleError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cyclopts import Argument, ArgumentCollection, CycloptsError

_ALIKE = 0.7


def describe_mistake(
    error: CycloptsError,
    words: Sequence[str],
    arguments: ArgumentCollection | None,
    *,
    program: str,
    commands: Collection[str],
) -> str:
    """One line on an error of cyclopts.

    Args:
        error: What cyclopts says.
        words: The command line.
        arguments: What the command takes; None if no command is named.
        program: What the program is called.
        commands: Its commands.
    """
    if isinstance(error, UnknownCommandError):
        return (
            f"{words[0]}: the command comes first and its options after it, as in {program} {next(iter(commands))}: "
            f"choose from {', '.join(commands)}"
        )
    if isinstance(error, UnusedCliTokensError):
        return f"more words than the command takes: {', '.join(map(repr, error.unused_tokens or ()))}"
    if arguments is None:
        return str(error)
    if isinstance(error, UnknownOptionError) and error.token.source in ("", "cli"):
        return _describe_unknown(error.token.keyword or error.token.value, arguments)
    if isinstance(error, MissingArgumentError | ConsumeMultipleError) and error.argument is not None:
        return _describe_missing(error.argument, words, arguments)
    return str(error)


def _describe_unknown(word: str, arguments: ArgumentCollection) -> str:
    typed = word.partition("=")[0]
    bare = typed.lstrip("-").lower()
    if bare in {one.name.lower() for one in arguments if one.field_info.is_positional}:
        return f"unknown option {typed}: {bare} is given as a word, without a name before it"
    named = {name.lstrip("-"): name for name in _options(arguments) if name.startswith("--")}
    longer = [name for name in named if len(bare) > 1 and name.startswith(bare)]
    for near in (longer or difflib.get_close_matches(bare, named, n=1, cutoff=_ALIKE))[:1]:
        return f"unknown option {typed}: did you mean {named[near]}?"
    return f"unknown option {typed}"


def _describe_missing(argument: Argument, words: Sequence[str], arguments: ArgumentCollection) -> str:
    ours = list(words[: words.index("--")] if "--" in words else words)
    known = _options(arguments)
    if argument.field_info.is_positional:
        return f"{argument.name} is missing"
    if typed := next((word for word in reversed(ours) if word in argument.names), None):
        count = argument.token_count()[0]
        wanted = "a value" if count == 1 else f"{count} values"
        after = [word for word in ours[ours.index(typed) + 1 :][:count] if word.partition("=")[0] in known]
        return f"{typed}: expected {wanted}" + (f", found the option {after[0]}" if after else "")
    # It may be there, misspelled.
    for word in ours:
        if word.startswith("--") and word.partition("=")[0] not in known:
            return _describe_unknown(word, arguments)
    return f"{argument.name} is missing"


def _options(arguments: ArgumentCollection) -> list[str]:
    return [name for one in arguments if not one.field_info.is_positional for name in one.names]
