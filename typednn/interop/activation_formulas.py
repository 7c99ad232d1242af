"""The formulas of activations as lists of operations, which writers of other formats translate one by one."""

from __future__ import annotations

from typednn_kernels.activation_families import code_of, parsed
from typednn_kernels.activations import ACTIVATIONS, CustomActivation, OutputActivationName
from typednn_kernels.tracing import Operand, Place, Step, TracedFormula

from typednn.errors import NotReadyError


def formula_of(name: OutputActivationName | CustomActivation, where: str) -> TracedFormula:
    """Returns the operations of an activation of single units; each of them is needed for the result.

    Raises:
        NotReadyError: it was registered in another process, but not in this one.
    """
    code = code_of(name)
    value = None if code is None else ACTIVATIONS[code].value
    if value is None:
        raise NotReadyError(
            f"{where}: the activation {name!r} is unknown here: call register_activation({name!r}, ...) first"
        )
    return _without_unused(TracedFormula.of(value, 1))


def family_of(name: OutputActivationName | CustomActivation) -> tuple[str, tuple[float, ...]] | None:
    """Returns the family and the parameters of an activation that has some, else None."""
    try:
        family, numbers = parsed(name)
    except (KeyError, ValueError):
        return None
    return family.name, numbers


def _without_unused(formula: TracedFormula) -> TracedFormula:
    """Leaves out operations whose results are not used, such as parts that formulas share."""
    first = formula.arity
    needed = {formula.result.index}
    for index in range(first + len(formula.steps) - 1, first - 1, -1):
        if index in needed:
            needed.update(_places(formula.steps[index - first].operands))
    kept = [index for index in range(first, first + len(formula.steps)) if index in needed]
    moved = {old: Place(first + new) for new, old in enumerate(kept)} | {k: Place(k) for k in range(first)}
    steps = tuple(
        Step(
            formula.steps[index - first].name,
            tuple(
                moved[each.index] if isinstance(each, Place) else each
                for each in formula.steps[index - first].operands
            ),
        )
        for index in kept
    )
    return TracedFormula(formula.arity, steps, moved[formula.result.index])


def _places(operands: tuple[Operand, ...]) -> list[int]:
    return [each.index for each in operands if isinstance(each, Place)]
