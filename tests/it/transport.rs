//! The ways to an engine, and what stands in them: ssh logins, certificates, silent daemons.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::{Output, Sandbox, docker, missing, testbed, until};

/// A program that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[track_caller]
pub(crate) fn wait_for(address: &str) {
    until(&format!("somebody listens at {address}"), || {
        TcpStream::connect(address).is_ok()
    });
}

/// A person's home with an ssh key, and a real sshd that accepts it.
struct Sshd {
    sandbox: Sandbox,
    port: u16,
    _running: Running,
}

impl Sshd {
    /// `None` where sshd is missing. `key` is a type for `ssh-keygen -t`.
    fn start(key: &str, config: &str) -> Option<Self> {
        if !Path::new("/usr/sbin/sshd").exists() {
            missing("sshd (openssh-server)");
            return None;
        }
        // sshd wants it, whatever its config says
        fs::create_dir_all("/run/sshd").unwrap();
        let sandbox = Sandbox::bare();
        let home = sandbox.home().to_owned();
        fs::create_dir(home.join(".ssh")).unwrap();
        keygen(&sandbox, key, &home.join(format!(".ssh/id_{key}")));
        keygen(&sandbox, "ed25519", &home.join("host_ed25519"));
        keygen(&sandbox, "rsa", &home.join("host_rsa"));
        fs::copy(
            home.join(format!(".ssh/id_{key}.pub")),
            home.join("authorized"),
        )
        .unwrap();
        let port = free_port();
        let path = |name: &str| home.join(name).display().to_string();
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nHostKey {}\nAuthorizedKeysFile {}\n\
             PermitRootLogin yes\nPasswordAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\n{config}\n",
            path("host_ed25519"),
            path("host_rsa"),
            path("authorized"),
        );
        fs::write(home.join("sshd_config"), text).unwrap();
        let running = sandbox
            .command("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", &path("sshd_config")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(&format!("127.0.0.1:{port}"));
        Some(Self {
            sandbox,
            port,
            _running: Running(running),
        })
    }

    /// Writes `known_hosts` with the public key of a file in the home folder.
    fn knows(&self, key: &str) {
        let home = self.sandbox.home();
        let key = fs::read_to_string(home.join(format!("{key}.pub"))).unwrap();
        fs::write(
            home.join(".ssh/known_hosts"),
            format!("[127.0.0.1]:{} {key}", self.port),
        )
        .unwrap();
    }

    fn url(&self, socket: &Path) -> String {
        format!("ssh://root@127.0.0.1:{}{}", self.port, socket.display())
    }

    fn status(&self, socket: &Path) -> Output {
        self.sandbox
            .devnet(&["-H", &self.url(socket), "status", "-o", "json"])
    }
}

fn keygen(sandbox: &Sandbox, kind: &str, file: &Path) {
    let file = file.display().to_string();
    Output::of(
        sandbox
            .command("ssh-keygen")
            .args(["-q", "-N", "", "-t", kind, "-f", &file]),
    )
    .ok();
}

/// Exit 3, and everything that was said.
#[track_caller]
fn unreachable(output: Output) -> String {
    let all = output.to_string();
    output.fails(3);
    all
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn an_engine_answers_through_an_ssh_login() {
    let Some(testbed) = testbed() else { return };
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let Some(sshd) = Sshd::start(kind, "") else {
            return;
        };
        sshd.knows("host_ed25519");
        let report: serde_json::Value =
            serde_json::from_str(&sshd.status(&testbed.join("node.sock")).ok()).unwrap();
        assert_eq!(report["nodes"][0]["answers"], true, "{kind}");
        let known = docker(&testbed, "node", &["version", "-f", "{{.Server.Version}}"]).ok();
        assert_eq!(report["nodes"][0]["version"], known.trim(), "{kind}");
    }
}

#[test]
fn an_ssh_host_must_be_known_and_stay_the_same() {
    let Some(testbed) = testbed() else { return };
    let Some(sshd) = Sshd::start("ed25519", "") else {
        return;
    };
    let socket = testbed.join("node.sock");
    let known_hosts = sshd.sandbox.home().join(".ssh/known_hosts");

    let unknown = unreachable(sshd.status(&socket));
    says(&unknown, &["is not known", "SHA256:", "ssh-keyscan -p"]);
    assert!(!known_hosts.exists(), "devnet trusts nobody by itself");

    // the person's own key is certainly not the host's
    sshd.knows(".ssh/id_ed25519");
    let changed = unreachable(sshd.status(&socket));
    says(&changed, &["has changed", "ssh-keygen -R '[127.0.0.1]:"]);

    // only the host's other key is known: that is the one asked for
    sshd.knows("host_rsa");
    sshd.status(&socket).ok();
}

#[test]
fn a_person_s_ssh_config_holds_for_the_hosts_that_the_person_names() {
    let Some(testbed) = testbed() else { return };
    let Some(sshd) = Sshd::start("ed25519", "") else {
        return;
    };
    sshd.knows("host_ed25519");
    let home = sshd.sandbox.home().to_owned();
    let ssh = home.join(".ssh");
    fs::rename(ssh.join("id_ed25519"), home.join("dev-key")).unwrap();
    fs::rename(ssh.join("known_hosts"), home.join("dev-known")).unwrap();
    let socket = testbed.join("node.sock");
    let status = |host: &str| {
        let url = format!("ssh://{host}{}", socket.display());
        sshd.sandbox.devnet(&["-H", &url, "status"])
    };
    // nothing says where that is
    assert_ne!(status("devbox").code, 0);
    fs::create_dir(ssh.join("conf.d")).unwrap();
    fs::write(
        ssh.join("config"),
        "Include conf.d/*\nHost *\n  User nobody\n",
    )
    .unwrap();
    let port = sshd.port;
    let dev = format!(
        "Host dev* !devoid\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile ~/dev-key\n  \
         UserKnownHostsFile ~/dev-known\nHost far\n  ProxyJump door\n"
    );
    fs::write(ssh.join("conf.d/dev"), dev).unwrap();
    status("devbox").ok();
    // what is named in the address holds
    let refused = unreachable(status("nobody@devbox"));
    says(&refused, &["the ssh login nobody@devbox"]);
    assert_ne!(status("devoid").code, 0);
    says(&unreachable(status("far")), &["`ProxyJump door`"]);
    // the host's key is looked for where the configuration says
    let known = fs::read_to_string(home.join("dev-known")).unwrap();
    fs::write(home.join("dev-known"), known.replace("AAAA", "AAAB")).unwrap();
    assert_ne!(status("devbox").code, 0);
}

#[test]
fn the_ssh_agent_s_keys_are_tried() {
    let Some(testbed) = testbed() else { return };
    let Some(mut sshd) = Sshd::start("ed25519", "") else {
        return;
    };
    sshd.knows("host_ed25519");
    let home = sshd.sandbox.home().to_owned();
    let agent = home.join("agent").display().to_string();
    let _agent = Running(
        sshd.sandbox
            .command("ssh-agent")
            .args(["-D", "-a", &agent])
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("the agent listens", || home.join("agent").exists());
    let key = home.join(".ssh/id_ed25519");
    sshd.sandbox = sshd.sandbox.env("SSH_AUTH_SOCK", &agent);
    Output::of(sshd.sandbox.command("ssh-add").arg(&key)).ok();
    fs::remove_file(&key).unwrap();
    sshd.status(&testbed.join("node.sock")).ok();
}

#[test]
fn the_agent_that_an_ssh_config_names_is_asked_and_no_other() {
    let Some(testbed) = testbed() else { return };
    let Some(mut sshd) = Sshd::start("ed25519", "") else {
        return;
    };
    sshd.knows("host_ed25519");
    let home = sshd.sandbox.home().to_owned();
    let agents = ["holds-it", "empty"].map(|name| {
        let socket = home.join(name);
        let agent = sshd
            .sandbox
            .command("ssh-agent")
            .args(["-D", "-a", &socket.display().to_string()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until("the agent listens", || socket.exists());
        Running(agent)
    });
    let key = home.join(".ssh/id_ed25519");
    let holds_it = home.join("holds-it").display().to_string();
    let mut add = sshd.sandbox.command("ssh-add");
    Output::of(add.arg(&key).env("SSH_AUTH_SOCK", &holds_it)).ok();
    fs::remove_file(&key).unwrap();
    let url = format!("ssh://devbox{}", testbed.join("node.sock").display());
    let port = sshd.port;
    let status = |sandbox: &Sandbox, agent: &str| {
        let host = "Host devbox\n  HostName 127.0.0.1\n  User root";
        let config = format!("{host}\n  Port {port}\n  IdentityAgent {agent}\n");
        fs::write(home.join(".ssh/config"), config).unwrap();
        sandbox.devnet(&["-H", &url, "status"])
    };
    let empty = home.join("empty").display().to_string();
    sshd.sandbox = sshd.sandbox.env("SSH_AUTH_SOCK", &empty);
    status(&sshd.sandbox, "~/holds-it").ok();
    unreachable(status(&sshd.sandbox, "SSH_AUTH_SOCK"));
    sshd.sandbox = sshd.sandbox.env("SSH_AUTH_SOCK", &holds_it);
    status(&sshd.sandbox, "SSH_AUTH_SOCK").ok();
    unreachable(status(&sshd.sandbox, "none"));
    drop(agents);
}

#[test]
fn a_key_that_is_a_pipe_or_has_no_end_is_passed_over() {
    let Some(testbed) = testbed() else { return };
    let Some(sshd) = Sshd::start("rsa", "") else {
        return;
    };
    sshd.knows("host_ed25519");
    let keys = sshd.sandbox.home().join(".ssh");
    let pipe = keys.join("id_ed25519");
    Output::of(sshd.sandbox.command("mkfifo").arg(pipe)).ok();
    std::os::unix::fs::symlink("/dev/zero", keys.join("id_ecdsa")).unwrap();
    let url = sshd.url(&testbed.join("node.sock"));
    let mut command = sshd.sandbox.command("timeout");
    // one whose runtime waits in a file hears no other signal
    command.args(["-s", "KILL", "60"]);
    command.args([env!("CARGO_BIN_EXE_devnet"), "-H", &url]);
    let said = Output::of(command.args(["status", "-o", "json"])).ok();
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["nodes"][0]["answers"], true, "{report:#}");
}

#[test]
fn what_stops_an_ssh_login_is_said() {
    let Some(testbed) = testbed() else { return };
    let socket = testbed.join("node.sock");
    let Some(sshd) = Sshd::start("ed25519", "") else {
        return;
    };
    sshd.knows("host_ed25519");
    let home = sshd.sandbox.home();

    says(
        &unreachable(sshd.status(Path::new("/nowhere/docker.sock"))),
        &["`/nowhere/docker.sock`", "is the engine running there"],
    );

    fs::write(home.join("authorized"), "").unwrap();
    says(
        &unreachable(sshd.status(&socket)),
        &[
            "accepts no key for the user `root`",
            "id_ed25519",
            "authorized_keys",
        ],
    );

    fs::remove_file(home.join(".ssh/id_ed25519")).unwrap();
    says(
        &unreachable(sshd.status(&socket)),
        &["there is none", "ssh-keygen"],
    );

    let nobody = format!("ssh://root@127.0.0.1:{}", free_port());
    says(
        &unreachable(sshd.sandbox.devnet(&["-H", &nobody, "status"])),
        &["no ssh connection", "is the machine up"],
    );

    let Some(strict) = Sshd::start("ed25519", "AllowStreamLocalForwarding no") else {
        return;
    };
    strict.knows("host_ed25519");
    says(
        &unreachable(strict.status(&socket)),
        &[
            "no engine behind the ssh login",
            "AllowStreamLocalForwarding",
        ],
    );
}

/// The node's address over TLS, with a folder of certificates.
fn over_tls(address: &str, certs: &Path) -> Output {
    let certs = certs.display().to_string();
    let host = format!("tcp://{address}");
    Sandbox::bare().devnet(&["-H", &host, "--tls-cert-path", &certs, "status"])
}

fn plainly(url: &str) -> Output {
    Sandbox::bare().devnet(&["-H", url, "status"])
}

/// A server for one test that does the same to every connection.
fn serve(each: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // the thread ends with the test's process
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(each));
    address
}

fn certs(testbed: &Path) -> std::path::PathBuf {
    testbed.join("minikube/.minikube/certs")
}

#[test]
fn an_engine_of_another_ca_is_refused() {
    let Some(testbed) = testbed() else { return };
    over_tls("127.0.0.2:2376", &certs(&testbed)).ok();
    let said = unreachable(over_tls("127.0.0.2:2376", &testbed.join("foreign-certs")));
    says(&said, &["no secure connection", "another CA signed"]);
}

#[test]
fn an_expired_certificate_is_refused() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let script = "set -e
        openssl req -new -newkey rsa:2048 -nodes -keyout key.pem -subj /O=node -out request.pem
        echo 'subjectAltName=IP:127.0.0.4' >extensions
        openssl x509 -req -in request.pem -CA \"$1/ca.pem\" -CAkey \"$1/ca-key.pem\" -set_serial 7 \
          -days -1 -extfile extensions -out cert.pem";
    Output::of(
        sandbox
            .command("sh")
            .args(["-c", script, "sh"])
            .arg(certs(&testbed)),
    )
    .ok();
    let address = format!("127.0.0.4:{}", free_port());
    let _server = Running(
        sandbox
            .command("openssl")
            .args([
                "s_server", "-quiet", "-accept", &address, "-cert", "cert.pem", "-key", "key.pem",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    wait_for(&address);
    let said = unreachable(over_tls(&address, &certs(&testbed)));
    says(&said, &["has expired", "minikube start"]);
}

#[test]
fn a_certificate_for_another_address_is_refused() {
    let Some(testbed) = testbed() else { return };
    let engine = TcpStream::connect("127.0.0.2:2376").unwrap();
    drop(engine);
    // a forwarder stands at an address that the node's certificate does not name
    let listener = TcpListener::bind("127.0.0.9:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut engine = TcpStream::connect("127.0.0.2:2376").unwrap();
            let (mut from, mut to) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || std::io::copy(&mut client, &mut engine));
        }
    });
    let said = unreachable(over_tls(&address, &certs(&testbed)));
    says(&said, &["for another address"]);
}

#[test]
fn a_tls_port_is_told_from_a_plain_one() {
    let Some(testbed) = testbed() else { return };
    let said = unreachable(plainly("tcp://127.0.0.2:2376"));
    says(
        &said,
        &["HTTP request to an HTTPS server", "--tls-cert-path"],
    );
    let plain = serve(|mut stream| {
        let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    });
    let said = unreachable(over_tls(&plain, &certs(&testbed)));
    says(
        &said,
        &["no secure connection", "engine with TLS listen there"],
    );
}

#[test]
fn a_daemon_that_never_answers_is_given_up() {
    let Some(testbed) = testbed() else { return };
    // open streams are kept, so that nothing is ever said on them
    let kept = std::sync::Mutex::new(Vec::new());
    let silent = serve(move |stream| kept.lock().unwrap().push(stream));
    let (plain, secure) = std::thread::scope(|scope| {
        let plain = scope.spawn(|| plainly(&format!("tcp://{silent}")));
        let secure = scope.spawn(|| over_tls(&silent, &certs(&testbed)));
        (plain.join().unwrap(), secure.join().unwrap())
    });
    says(
        &unreachable(plain),
        &["no answer within 8 s", "paused or overloaded"],
    );
    says(
        &unreachable(secure),
        &["no connection within 7 s", "is the engine running"],
    );
}

#[test]
fn who_answers_nonsense_is_no_engine() {
    if testbed().is_none() {
        return;
    }
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\":",
        "",
    ] {
        let server = serve(move |mut stream| {
            let _request = stream.read(&mut [0; 4096]);
            let _gone = stream.write_all(answer.as_bytes());
        });
        let said = unreachable(plainly(&format!("tcp://{server}")));
        says(&said, &["is it a Docker engine that listens there?"]);
    }
}

#[test]
fn where_nobody_listens_the_reason_and_a_hint_are_given() {
    let said = unreachable(plainly(&format!("tcp://127.0.0.1:{}", free_port())));
    says(&said, &["refused", "is the engine running"]);
    let said = unreachable(plainly("unix:///nowhere/docker.sock"));
    says(
        &said,
        &["No such file", "is the engine running, and may this user"],
    );
}

#[test]
fn connecting_costs_one_question() {
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = asked.clone();
    let server = serve(move |mut stream| {
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        let request = String::from_utf8_lossy(&request[..length]);
        seen.lock()
            .unwrap()
            .push(request.lines().next().unwrap_or_default().to_owned());
        let head = "Server: Docker/20.10.24 (linux)\r\nApi-Version: 1.41\r\nConnection: close";
        let _gone = stream.write_all(
            format!("HTTP/1.1 200 OK\r\n{head}\r\nContent-Length: 2\r\n\r\nOK").as_bytes(),
        );
    });
    let _whatever = plainly(&format!("tcp://{server}"));
    let asked = asked.lock().unwrap();
    // the second is the command's own
    assert!(asked[0].starts_with("GET /_ping "), "{asked:?}");
    assert!(!asked[1].contains("/_ping"), "{asked:?}");
}
