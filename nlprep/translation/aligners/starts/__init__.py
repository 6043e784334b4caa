"""First pairs of words where there is no dictionary: each kind of start is an iterator of pairs of rows."""
