"""Files of word vectors in the formats people exchange them in."""

from nlprep.embeddings.vector_files.formats import (
    ReadFormat,
    VectorFileWarning,
    WriteFormat,
    read_vectors,
    write_vectors,
)

__all__ = ["ReadFormat", "VectorFileWarning", "WriteFormat", "read_vectors", "write_vectors"]
