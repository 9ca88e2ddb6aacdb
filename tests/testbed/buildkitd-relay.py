#!/usr/bin/env python3
"""Stands for buildkitd's socket in a node of the testbed: buildkitd-relay.py SOCKET ENGINE

A Docker engine serves BuildKit's gRPC too, behind an upgrade of HTTP: each connection to SOCKET becomes one
to the socket ENGINE, upgraded, and from then on bytes are handed on as they are.
"""
import grp
import os
import socket
import sys
import threading

UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


def pump(source, sink):
    try:
        while piece := source.recv(1 << 18):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(client, engine):
    upstream = socket.socket(socket.AF_UNIX)
    try:
        upstream.connect(engine)
        upstream.sendall(UPGRADE)
        head = b""
        while b"\r\n\r\n" not in head:
            piece = upstream.recv(4096)
            if not piece:
                return
            head += piece
        if b" 101 " not in head.split(b"\r\n")[0]:
            return
        client.sendall(head.split(b"\r\n\r\n", 1)[1])
        back = threading.Thread(target=pump, args=(upstream, client), daemon=True)
        back.start()
        pump(client, upstream)
        back.join()
    except OSError:
        pass
    finally:
        client.close()
        upstream.close()


def main():
    place, engine = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    # as minikube's nodes have it
    os.chown(place, 0, grp.getgrnam("buildkit").gr_gid)
    os.chmod(place, 0o660)
    listener.listen(100)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, engine), daemon=True).start()


main()
