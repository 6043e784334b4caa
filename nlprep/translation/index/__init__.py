"""What translates: the mapped vectors of two languages or more, made once and opened memory-mapped."""
