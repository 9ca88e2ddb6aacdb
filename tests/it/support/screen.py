# A person who watches: runs a program in a pseudo-terminal, waits for its picture, does two things
# and waits for their pictures, presses Ctrl-C. Tells whether the terminal is as it was, how the
# program ended, and how often it changed to another screen and back.
import os, pty, sys, time, fcntl, termios, struct, select, subprocess
first, second, program = sys.argv[1], sys.argv[2], sys.argv[3:]
sized, size = os.pipe()
pid, fd = pty.fork()
if pid == 0:
    # it starts when its terminal has its size
    os.close(size); os.read(sized, 1)
    os.execv(program[0], program)
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
before = termios.tcgetattr(fd)
os.close(size)
seen = everything = b""
def read():
    global seen, everything
    if not select.select([fd], [], [], 0.1)[0]: return True
    try: part = os.read(fd, 4096)
    except OSError: return False
    seen += part; everything += part
    return True
def until(what, is_so):
    end = time.time() + 60
    while not is_so():
        if time.time() > end or not read(): print("waited for", what, "saw", everything); sys.exit(9)
def expect(what):
    global seen
    until(what, lambda: what in seen)
    seen = seen[seen.find(what) + len(what):]
expect(b"\x1b[?1049h"); expect(b"default/on-screen"); expect(b"1/1")
subprocess.run(first, shell=True, check=True, stdout=subprocess.DEVNULL)
expect(b"\x1b[H"); expect(b"paused"); expect(b"frozen")
subprocess.run(second, shell=True, check=True, stdout=subprocess.DEVNULL)
def is_up():
    """Whether a whole picture has come in which nothing is paused; older ones are let go."""
    global seen
    begin, end = seen.find(b"\x1b[H"), seen.rfind(b"\x1b[J")
    if begin < 0 or end < begin: return False
    picture = seen[seen.rfind(b"\x1b[H", 0, end):end]
    seen = seen[end:]
    return b"paused" not in picture
until("a picture without `paused`", is_up)
os.write(fd, b"\x03")
after = before
end = time.time() + 60
while True:
    if time.time() > end: print("waited for its end, saw", everything); sys.exit(9)
    try: after = termios.tcgetattr(fd)
    except termios.error: pass
    done, status = os.waitpid(pid, os.WNOHANG)
    read()
    if done: break
while read() and select.select([fd], [], [], 0)[0]: pass
changes = everything.count(b"\x1b[?1049h") + everything.count(b"\x1b[?1049l")
print("same" if after[:4] == before[:4] else "changed", os.waitstatus_to_exitcode(status), changes)
