# A person at a terminal: starts a program in a pseudo-terminal, resizes, types, presses Ctrl-C and
# Ctrl-D, and tells whether the terminal is as it was and how the program ended.
import os, pty, sys, time, fcntl, termios, struct, select, signal
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
before = termios.tcgetattr(fd)
seen = b""
def expect(what):
    global seen
    end = time.time() + 240
    while what not in seen:
        if time.time() > end: print("waited for", what, "saw", seen); sys.exit(9)
        if select.select([fd], [], [], 0.1)[0]:
            try: seen += os.read(fd, 4096)
            except OSError: print("it ended before", what, "saw", seen); sys.exit(9)
    seen = seen[seen.find(what) + len(what):]
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0)); os.kill(pid, signal.SIGWINCH)
expect(b"# ")
os.write(fd, b"busybox stty size\n"); expect(b"33 101"); expect(b"# ")
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 50, 0, 0)); os.kill(pid, signal.SIGWINCH)
os.write(fd, b"while ! busybox stty size | busybox grep '20 50'; do :; done; echo resized$((1+1))\n"); expect(b"resized2"); expect(b"# ")
# what says so is the program itself, not the shell before it: the terminal is its own by then
os.write(fd, b"busybox sh -c 'echo begun$((1+1)); exec busybox sleep 3600'\n"); expect(b"begun2"); os.write(fd, b"\x03")
expect(b"# "); os.write(fd, b"echo still$((1+1))\n"); expect(b"still2")
expect(b"# "); os.write(fd, b"(exit 5)\n")
# at the prompt only: while a command runs, Ctrl-D is no character but the end of a line's input, and the shell sees nothing of it
expect(b"# "); os.write(fd, b"\x04")
after = None
end = time.time() + 240
while True:
    if time.time() > end: print("waited for its end"); sys.exit(9)
    try: after = termios.tcgetattr(fd)
    except termios.error: break
    done, status = os.waitpid(pid, os.WNOHANG)
    if done: break
    if select.select([fd], [], [], 0.05)[0]:
        try: os.read(fd, 4096)
        except OSError: pass
print("same" if after[:4] == before[:4] else "changed", os.waitstatus_to_exitcode(status))
