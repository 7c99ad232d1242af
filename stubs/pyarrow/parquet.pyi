from collections.abc import Iterator

from pyarrow import NativeFile, RecordBatch, Schema, Table

class RowGroupMetaData:
    num_rows: int

class FileMetaData:
    def row_group(self, i: int) -> RowGroupMetaData: ...

class ParquetFile:
    schema_arrow: Schema
    metadata: FileMetaData
    num_row_groups: int
    def __init__(
        self, source: NativeFile, *, pre_buffer: bool, read_dictionary: list[str] | None = None
    ) -> None: ...
    def iter_batches(self, batch_size: int) -> Iterator[RecordBatch]: ...
    def read(self) -> Table: ...
    def read_row_group(self, i: int, columns: list[str]) -> Table: ...

def write_table(table: object, where: object) -> None: ...
