# A person who watches a load at a terminal: the program's stderr is a pseudo-terminal, its stdin a
# pipe that gives the first bytes of an archive, and the rest only once the screen says that a node
# has taken some. Prints what the screen said until then, what it said after, and how it ended.
import fcntl, os, pty, select, struct, subprocess, sys, termios, time
archive, first, told, command = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), sys.argv[4:]
ours, theirs = pty.openpty()
fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=theirs)
os.close(theirs)
end = time.time() + 240
def more(seen):
    if time.time() > end: print("waited, saw", seen); sys.exit(9)
    if not select.select([ours], [], [], 0.1)[0]: return seen
    try: return seen + os.read(ours, 4096)
    except OSError: print("it ended, saw", seen); sys.exit(9)
with open(archive, "rb") as file:
    running.stdin.write(file.read(first)); running.stdin.flush()
    before = b""
    while told not in before: before = more(before)
    running.stdin.write(file.read()); running.stdin.close()
after = b""
while True:
    try: part = os.read(ours, 4096)
    except OSError: break
    if not part: break
    after += part
print(repr(before.decode())); print(repr(after.decode())); print(running.wait())
