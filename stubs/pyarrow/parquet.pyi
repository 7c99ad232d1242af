from os import PathLike
from typing import Any

class ParquetFile:
    schema_arrow: Any
    metadata: Any
    num_row_groups: int
    def __init__(self, source: PathLike[str]) -> None: ...
    def read_row_group(self, i: int, columns: list[str]) -> Any: ...

def write_table(table: object, where: object) -> None: ...
