"""Runs a command in a terminal and prints what it wrote there: console.py COLUMNS TEXT|- COMMAND...
When TEXT is there, Ctrl-C is typed. Ends as the command does."""
import fcntl
import os
import pty
import select
import struct
import sys
import termios

columns, text, command = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3:]
child, terminal = pty.fork()
if child == 0:
    # set before anything asks for it
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 40, columns, 0, 0))
    os.execvp(command[0], command)
said, typed = b"", text == b"-"
while True:
    if not select.select([terminal], [], [], 60)[0]:
        os.kill(child, 9)
        sys.exit(f"console: nothing for a minute after {said!r}")
    try:
        more = os.read(terminal, 65536)
    except OSError:
        break
    if not more:
        break
    said += more
    if not typed and text in said:
        typed = True
        os.write(terminal, b"\x03")
sys.stdout.buffer.write(said)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
