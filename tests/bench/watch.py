# How soon `devnet pods --watch -o json` shows what happened: from the end of the request that freezes
# or thaws a container to the whole document that says so. watch.py ROUNDS SOCKET COMMAND...
import http.client, json, resource, signal, socket, statistics, subprocess, sys, time

rounds, path, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]

class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)

engine = Engine("engine")
def ask(method, url):
    engine.request(method, url)
    return engine.getresponse().read()

devnet = subprocess.Popen(command, stdout=subprocess.PIPE)
first = json.loads(devnet.stdout.readline())
one = next(pod for pod in first["pods"] if pod["containers"])["containers"][0]["id"]
times = []
for turn in range(2 * rounds):
    verb, state = (("pause", "paused"), ("unpause", "running"))[turn % 2]
    time.sleep(0.5)
    ask("POST", f"/containers/{one}/{verb}")
    begun = time.monotonic()
    while True:
        pods = json.loads(devnet.stdout.readline())["pods"]
        ended = time.monotonic()
        if any(c["id"] == one and c["state"] == state for pod in pods for c in pod["containers"]): break
    times.append(ended - begun)
devnet.send_signal(signal.SIGINT)
devnet.wait()
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f"{'pods --watch, from a change to its picture':<52} {statistics.median(times) * 1000:9.1f} ms")
print(f"peak memory of pods --watch: {peak:.0f} MB")
