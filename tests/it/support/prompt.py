# A person at a shell's prompt: types each line of a file when the one before has made its file
# `stepN` (where the line says DONE), and says what was on the screen when that does not come.
import os, pty, select, sys, time
lines = open(sys.argv[1]).read().splitlines()
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
seen = b""
for number, line in enumerate(lines):
    step = "step%d" % number
    os.write(fd, (line.replace("DONE", "touch " + step) + "\n").encode())
    end = time.time() + 150
    while not os.path.exists(step):
        if select.select([fd], [], [], 0.02)[0]:
            try: new = os.read(fd, 4096)
            except OSError: new = b""; end = 0
            seen += new
            # some ask the terminal where its cursor is before they prompt
            if b"\x1b[6n" in new: os.write(fd, b"\x1b[1;1R")
        if time.time() > end:
            print("no end of:", line, "\non the screen:", seen.decode(errors="replace")); sys.exit(9)
os.write(fd, b"exit\n")
end = time.time() + 40
while time.time() < end:
    if select.select([fd], [], [], 0.02)[0]:
        try: seen += os.read(fd, 4096)
        except OSError: break
    if os.waitpid(pid, os.WNOHANG)[0]: break
print(seen.decode(errors="replace"))
