# A person at a terminal who starts a program and leaves it: by a signal, or by the keys that detach;
# tells whether the terminal is as it was and how the program ended.
import os, pty, sys, time, termios, select, signal
pid, fd = pty.fork()
if pid == 0:
    # the terminal outlives the program, as a shell's does
    child = os.fork()
    if child == 0:
        os.execv(sys.argv[2], sys.argv[2:])
    for one in (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    before = termios.tcgetattr(0)
    os.write(1, b"[child %d]" % child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    same = termios.tcgetattr(0)[:4] == before[:4]
    os.write(1, b"[%s %d]" % (b"same" if same else b"changed", code))
    os._exit(0)
seen = b""
def expect(*whats):
    global seen
    end = time.time() + 240
    while not any(what in seen for what in whats):
        if time.time() > end: print("waited for", whats, "saw", seen); sys.exit(9)
        if select.select([fd], [], [], 0.1)[0]:
            try: seen += os.read(fd, 4096)
            except OSError: print("it ended before", whats, "saw", seen); sys.exit(9)
expect(b"# ")
start = seen.index(b"[child ") + 7
child = int(seen[start:seen.index(b"]", start)])
act = sys.argv[1]
if act == "detach": os.write(fd, b"\x18x")
elif act == "kill": os.write(fd, b"kill -9 $$\n")
else: os.kill(child, getattr(signal, "SIG" + act.upper()))
expect(b"[same ", b"[changed ")
text = seen[max(seen.find(b"[same "), seen.find(b"[changed ")) + 1:]
end = time.time() + 240
while b"]" not in text:
    if time.time() > end: print("waited for how it ended, saw", text); sys.exit(9)
    if select.select([fd], [], [], 0.1)[0]: text += os.read(fd, 100)
print(text[:text.index(b"]")].decode())
