"""What the market did: instruments, tapes, books, importers, synthetic markets, clocks and the error tree."""
