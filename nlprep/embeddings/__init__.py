"""Word vectors: the value itself, its file formats, and how they are learned and judged.

Importing this package loads nothing heavy; name the module that is needed, such as
`nlprep.embeddings.word_vectors` or `nlprep.embeddings.vector_files`.
"""
