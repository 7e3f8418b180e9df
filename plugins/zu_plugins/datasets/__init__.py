"""Data sets: those of the field in their publishers' schemas, one's own facts, and the embedded demo world."""
