"""The two languages of a question, of those that a translator holds."""

from typing import Annotated

from cyclopts import Parameter

_TITLE = "languages (as aligned, if none are named; of several, name both)"
FromLanguage = Annotated[str | None, Parameter(name="--from", group=_TITLE)]
ToLanguage = Annotated[str | None, Parameter(name="--to", group=_TITLE)]
