"""Data sets: CounterFact, one's own JSON lines, and the embedded demo world."""
