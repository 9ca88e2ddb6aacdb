"""Makes pods on a node of node.sh as a kubelet asks its runtime for them (CRI, by curl), and leaves
them there: what dies stays dead.

    node_pods.py NODE PODS CONTAINERS   pods bench-0... with so many containers in all
    node_pods.py NODE NAME              a pod with a server on port 8080 and a client of its
    node_pods.py NODE NAME LINES        a pod of three containers that print so many lines each
"""

import os, subprocess, sys, uuid


def varint(number):
    out = bytearray()
    while True:
        byte = number & 0x7F
        number >>= 7
        out.append(byte | 0x80 if number else byte)
        if not number:
            return bytes(out)


def message(**fields):
    """A message of protobuf; a field's name ends in its number."""
    out = b""
    for name, value in fields.items():
        number = int(name.rsplit("_", 1)[1])
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                out += varint(number << 3) + varint(one)
                continue
            one = one.encode() if isinstance(one, str) else one
            out += varint(number << 3 | 2) + varint(len(one)) + one
    return out


def pairs(values):
    return [message(key_1=key, value_2=value) for key, value in values.items()]


def call(method, body):
    """Asks the node's runtime, and gives the ID that stands first in its answer."""
    framed = b"\0" + len(body).to_bytes(4, "big") + body
    answer = subprocess.run(
        ["curl", "-s", "--http2-prior-knowledge", "--unix-socket", socket, "-H", "content-type: application/grpc",
         "-H", "te: trailers", "--data-binary", "@-", f"http://localhost/runtime.v1.RuntimeService/{method}"],
        input=framed, stdout=subprocess.PIPE, check=True).stdout
    if not answer:
        raise SystemExit(f"{method} was refused")
    return answer[7:7 + answer[6]].decode() if len(answer) > 6 else ""


def pod(name, containers):
    uid = str(uuid.uuid4())
    labels = {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.uid": uid}
    logs = f"/var/log/pods/default_{name}_{uid}"
    os.makedirs(f"{folder}{logs}")
    # a namespace of processes for each container, all others the pod's
    spaces = message(pid_2=1)
    sandbox = message(
        metadata_1=message(name_1=name, uid_2=uid, namespace_3="default"), hostname_2=name, logs_3=logs,
        labels_6=pairs(labels), linux_8=message(parent_1=f"/kubepods/besteffort/pod{uid}", security_2=message(namespaces_1=spaces)))
    holds = call("RunPodSandbox", message(config_1=sandbox))
    for container, script in containers:
        os.makedirs(f"{folder}{logs}/{container}")
        config = message(
            metadata_1=message(name_1=container), image_2=message(image_1="docker.io/library/busybox:1.35"),
            command_3=["sh", "-c", script], labels_9=pairs({**labels, "io.kubernetes.container.name": container}),
            annotations_10=pairs({"io.kubernetes.container.restartCount": "0"}), log_11=f"{container}/0.log",
            linux_15=message(security_2=message(namespaces_3=spaces)))
        made = call("CreateContainer", message(sandbox_1=holds, config_2=config, sandbox_3=sandbox))
        call("StartContainer", message(container_1=made))


node = sys.argv[1]
folder = f"{os.environ['DEVNET_TESTBED']}/{node}"
socket = f"{folder}/containerd.sock"
if len(sys.argv) == 4 and not sys.argv[2].isdigit():
    script = f"seq {sys.argv[3]} | sed 's/.*/line & of a log as a server may write it, with some words and a number/'; exec sleep 100000"
    pod(sys.argv[2], [(f"loud-{number}", script) for number in range(3)])
elif len(sys.argv) == 3:
    serve = "echo hello from $HOSTNAME > /www/index.html; echo listening on 8080; exec httpd -f -p 8080 -h /www"
    ask = "while :; do wget -qO- http://localhost:8080/; sleep 1; done"
    pod(sys.argv[2], [("server", serve), ("client", ask)])
else:
    pods, containers = int(sys.argv[2]), int(sys.argv[3])
    for number in range(pods):
        more = containers // pods + (number < containers % pods)
        others = [(f"side-{one}", "exec sleep 100000") for one in range(1, more)]
        pod(f"bench-{number}", [("app", "echo begun; exec sleep 100000"), *others])
