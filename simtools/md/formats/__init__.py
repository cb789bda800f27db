"""Other programs' trajectory files, one family each; every reader yields `RawFrame`. Checks: readers.py."""
