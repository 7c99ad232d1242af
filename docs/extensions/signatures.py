"""Shows signatures as they are written: with names of types, not with what the names stand for."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def as_written(
    app: Sphinx, what: str, name: str, thing: object, options: object, signature: str, returns: str
) -> tuple[str, str] | None:
    """Returns arguments and result of a function, method or class."""
    if what == "class" and (signature == "()" or getattr(thing, "_is_protocol", False)):
        return "", ""  # users do not construct it
    if what not in {"class", "method", "function"} or not callable(thing):
        return ("", "") if what == "exception" else None
    try:
        written = inspect.signature(inspect.unwrap(thing.__init__ if inspect.isclass(thing) else thing))
    except (TypeError, ValueError):
        return None
    parameters = list(written.parameters.values())
    if what != "function" and parameters and parameters[0].name in {"self", "cls"}:
        parameters = parameters[1:]
    text = str(written.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    for each in parameters:  # annotations are strings, which `str` quotes
        text = text.replace(f"{each.name}: {each.annotation!r}", f"{each.name}: {each.annotation}")
    text = re.sub(r"<class 'numpy\.(\w+)'>", r"np.\1", text)
    returns = (
        "" if what == "class" or not isinstance(written.return_annotation, str) else written.return_annotation
    )
    return text, returns


def setup(app: Sphinx) -> dict[str, object]:
    """Registers the listener."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-signature", as_written)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
