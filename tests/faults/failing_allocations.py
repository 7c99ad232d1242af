"""Has the n-th array that NumPy makes find no memory."""

from __future__ import annotations

import ctypes
from collections.abc import Generator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, byref, c_char, c_int, c_size_t, c_uint8, c_void_p, py_object, pythonapi
from importlib import import_module
from typing import Any

MALLOC = CFUNCTYPE(c_void_p, c_void_p, c_size_t)
CALLOC = CFUNCTYPE(c_void_p, c_void_p, c_size_t, c_size_t)
SET_HANDLER = 304
"""The place of PyDataMem_SetHandler in the table of NumPy's C interface, from NumPy 1.22 on."""


class Allocator(ctypes.Structure):
    """PyMemAllocatorEx of Python: functions of C, the last of which may be called while there is an error."""

    _fields_ = (
        ("context", c_void_p),
        ("malloc", MALLOC),
        ("calloc", CALLOC),
        ("realloc", c_void_p),
        ("free", c_void_p),
    )


class Handler(ctypes.Structure):
    """PyDataMem_Handler of NumPy."""

    _fields_ = (("name", c_char * 127), ("version", c_uint8), ("allocator", Allocator))


class Memory:
    """Counts allocations, and refuses one.

    Attributes:
        refused: the number of the allocation that is refused, from 0 on.
        asked: the number of allocations so far.
    """

    refused = -1
    asked = 0

    def refuses(self) -> bool:
        self.asked += 1
        return self.asked - 1 == self.refused


MEMORY = Memory()
PYTHON = Allocator()
pythonapi.PyMem_GetAllocator(c_int(0), byref(PYTHON))


def _malloc(context: object, size: int) -> int | None:
    return None if MEMORY.refuses() else PYTHON.malloc(context, size)


def _calloc(context: object, count: int, size: int) -> int | None:
    return None if MEMORY.refuses() else PYTHON.calloc(context, count, size)


HANDLER = Handler(
    b"failing", 1, Allocator(PYTHON.context, MALLOC(_malloc), CALLOC(_calloc), PYTHON.realloc, PYTHON.free)
)
"""Arrays keep the handler that has allocated them; so there is one, which is never freed."""


def _set_handler(capsule: object) -> object:
    """Has NumPy allocate by a handler; returns the one before."""
    pointer = pythonapi.PyCapsule_GetPointer
    pointer.argtypes, pointer.restype = [py_object, ctypes.c_char_p], c_void_p
    core: Any = import_module("numpy._core._multiarray_umath")
    table = pointer(core._ARRAY_API, None)
    address = ctypes.cast(table, ctypes.POINTER(c_void_p))[SET_HANDLER]
    before: object = ctypes.PYFUNCTYPE(py_object, py_object)(address)(capsule)
    return before


@contextmanager
def failing_allocation(number: int) -> Generator[Memory]:
    """Refuses the memory of one array, the `number`-th from 0 on."""
    new = pythonapi.PyCapsule_New
    new.argtypes, new.restype = [c_void_p, ctypes.c_char_p, c_void_p], py_object
    MEMORY.refused, MEMORY.asked = number, 0
    before = _set_handler(new(ctypes.addressof(HANDLER), b"mem_handler", None))
    try:
        yield MEMORY
    finally:
        _set_handler(before)
        MEMORY.refused = -1
