from pyarrow import Array

class Scalar:
    def as_py(self) -> int | None: ...

def binary_length(strings: Array) -> Array: ...
def sum(array: Array) -> Scalar: ...  # noqa: A001
