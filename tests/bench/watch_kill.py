# How soon `devnet pods --watch -o json` shows that a container's process was killed: from the signal
# to the whole document that says so. The processes of its node are processes of this computer.
# watch_kill.py ROUNDS COMMAND...
import glob, json, os, signal, statistics, subprocess, sys, time

rounds, command = int(sys.argv[1]), sys.argv[2:]

def process(container):
    for place in glob.glob("/proc/[0-9]*/cgroup"):
        try:
            if f"{container}\n" in open(place).read(): return int(place.split("/")[2])
        except OSError: pass
    raise SystemExit(f"no process of container {container}")

devnet = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
first = json.loads(devnet.stdout.readline())
running = [c["id"] for pod in first["pods"] for c in pod["containers"] if c["state"] == "running"]
times = []
for one in reversed(running[-rounds:]):
    time.sleep(0.5)
    pid = process(one)
    begun = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    while True:
        pods = json.loads(devnet.stdout.readline())["pods"]
        ended = time.monotonic()
        if any(c["id"] == one and c["state"] != "running" for pod in pods for c in pod["containers"]): break
    times.append(ended - begun)
devnet.send_signal(signal.SIGINT)
devnet.wait()
print(f"{'pods --watch, from a kill to its picture':<52} {statistics.median(times) * 1000:9.1f} ms")
