"""The time that a request takes through the guard: the same one to an engine with it and to one without."""
import http.client
import socket
import statistics
import sys
import time


class Engine(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("engine")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def took(engine):
    begun = time.perf_counter()
    engine.request("GET", "/_ping")
    engine.getresponse().read()
    return (time.perf_counter() - begun) * 1000


guarded, free = map(Engine, sys.argv[1:3])
times = [(took(guarded), took(free)) for _ in range(300)]
ours, peers = (statistics.median(column) for column in zip(*times))
print(f"a request with the guard {ours:.2f} ms, without {peers:.2f} ms: {ours - peers:+.2f} ms")
