"""What the program says to the shell when it ends."""

DONE, WRONG_INPUT, STOPPED = 0, 2, 130  # Python itself exits with 1 after a bug; 130 is a shell's for Ctrl-C
