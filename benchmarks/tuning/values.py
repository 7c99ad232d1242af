"""Values of the tuning thresholds: read without the kernels, or changed before kernels are imported."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

NAME = "typednn_kernels.compiled._codegen.tuning"


def tree_values() -> dict[str, object]:
    """Returns the values in the source, by name."""
    return {name: value for name, value in vars(_loaded()).items() if name.isupper()}


def change_values(changed: Mapping[str, object]) -> None:
    """Changes thresholds for the kernels that this process imports afterwards.

    Raises:
        KeyError: a threshold does not exist.
    """
    module = _loaded()
    for name, value in changed.items():
        if not hasattr(module, name):
            raise KeyError(name)
        setattr(module, name, value)
    sys.modules[NAME] = module


def _loaded() -> ModuleType:
    """Loads the module of thresholds by itself: its packages import the kernels."""
    package = find_spec("typednn_kernels")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0], "compiled", "_codegen", "tuning.py")
    spec = spec_from_file_location(NAME, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
