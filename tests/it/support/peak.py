"""Runs a program to its end and writes the most memory that it had (KiB) into a file."""

import resource
import subprocess
import sys

ended = subprocess.run(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(ended.returncode if ended.returncode >= 0 else 128 - ended.returncode)
