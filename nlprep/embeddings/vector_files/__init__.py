"""Files of word vectors in the formats people exchange them in."""

from nlprep.embeddings.vector_files.formats import (
    ReadFormat,
    VectorFileWarning,
    WriteFormat,
    check_vectors_output,
    format_of_name,
    read_vectors,
    write_vectors,
)

__all__ = [
    "ReadFormat",
    "VectorFileWarning",
    "WriteFormat",
    "check_vectors_output",
    "format_of_name",
    "read_vectors",
    "write_vectors",
]
