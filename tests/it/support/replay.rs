//! A recorded node, served: a small HTTP server that answers as the node's engine did at the
//! moment of the recording, and refuses, by name, what was not recorded.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

/// The folder of a recording, as JSON files.
pub(crate) fn recorded(file: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/kubelet-node")
        .join(file);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A server for one test; it ends with it.
pub(crate) struct Replay {
    pub(crate) host: String,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Replay {
    pub(crate) fn start() -> Self {
        Self::answering(Node::read())
    }

    /// A node whose engine also lets the probe run, which prints this.
    pub(crate) fn with_probe(prints: String) -> Self {
        let mut node = Node::read();
        node.probe = Some(prints);
        Self::answering(node)
    }

    /// The same, where the answers are changed on their way.
    pub(crate) fn changing(
        prints: String,
        change: impl Fn(&str, &mut Value) + Send + Sync + 'static,
    ) -> Self {
        let mut node = Node::read();
        node.probe = Some(prints);
        node.change = Some(Box::new(change));
        Self::answering(node)
    }

    fn answering(node: Node) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = format!("tcp://{}", listener.local_addr().unwrap());
        let refused = Arc::new(Mutex::new(Vec::new()));
        let node = Arc::new(node);
        let seen = refused.clone();
        // the threads end with the test's process
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (node, seen) = (node.clone(), seen.clone());
                std::thread::spawn(move || serve(stream, &node, &seen));
            }
        });
        Self { host, refused }
    }

    /// The requests so far that are not in the recording.
    pub(crate) fn refused(&self) -> Vec<String> {
        let mut all = self.refused.lock().unwrap().clone();
        all.sort();
        all
    }
}

type Change = dyn Fn(&str, &mut Value) + Send + Sync;

struct Node {
    info: Value,
    containers: Value,
    inspects: Value,
    images: Value,
    networks: Value,
    /// The output of the probe, where it may run.
    probe: Option<String>,
    change: Option<Box<Change>>,
    started: (Mutex<bool>, Condvar),
}

impl Node {
    fn read() -> Self {
        Self {
            info: recorded("info.json"),
            containers: recorded("containers.json"),
            inspects: recorded("inspect.json"),
            images: recorded("image_inspect.json"),
            networks: recorded("network_inspect.json"),
            probe: None,
            change: None,
            started: (Mutex::new(false), Condvar::new()),
        }
    }

    fn answer(&self, method: &str, path: &str) -> Option<Value> {
        let path = path.split('?').next()?;
        // /v1.41/containers/json and /containers/json are one
        let path = match path
            .strip_prefix("/v1.")
            .and_then(|rest| rest.split_once('/'))
        {
            Some((_, rest)) => format!("/{rest}"),
            None => path.to_owned(),
        };
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("GET" | "HEAD", ["_ping"]) => Some(json!("OK")),
            // not recorded as a file: what the recording's README says of its engine
            ("GET", ["version"]) => Some(json!({
                "Version": self.info["ServerVersion"], "ApiVersion": "1.41", "MinAPIVersion": "1.12",
                "Os": self.info["OSType"], "Arch": "amd64",
            })),
            ("GET", ["info"]) => Some(self.info.clone()),
            ("GET", ["containers", "json"]) => Some(self.containers.clone()),
            ("GET", ["containers", id, "json"]) => by_id(&self.inspects, id),
            ("GET", ["images", "json"]) => Some(summaries(&self.images)),
            ("GET", ["images", id, "json"]) => by_id(&self.images, id),
            ("GET", ["networks"]) => Some(self.networks.clone()),
            ("GET", ["networks", id]) => by_id(&self.networks, id),
            _ => None,
        }
    }
}

/// The probe's container: made, given its program, started; what it prints comes to who attached and asks.
fn of_the_probe(
    node: &Node,
    method: &str,
    path: &str,
    reader: &mut BufReader<TcpStream>,
    writer: &mut TcpStream,
) -> Option<bool> {
    let prints = node.probe.as_ref()?;
    let path = path.split('?').next()?;
    let plain = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let answer = match (method, path.rsplit('/').next()?) {
        ("POST", "create") => plain("201 Created", r#"{"Id":"feed","Warnings":[]}"#),
        ("PUT", "archive") => plain("200 OK", ""),
        ("POST", "start") => {
            *node.started.0.lock().unwrap() = true;
            node.started.1.notify_all();
            "HTTP/1.1 204 No Content\r\n\r\n".into()
        }
        ("POST", "attach") => {
            let head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
            writer.write_all(head.as_bytes()).unwrap();
            let mut started = node.started.0.lock().unwrap();
            while !*started {
                started = node.started.1.wait(started).unwrap();
            }
            drop(started);
            let mut print = |line: &str| {
                // a piece of stdout: 1, three zeros, its length
                let length = u32::try_from(line.len() + 1).unwrap().to_be_bytes();
                let piece = [&[1, 0, 0, 0], &length[..], line.as_bytes(), b"\n"].concat();
                writer.write_all(&piece).unwrap();
            };
            let mut questions = reader.lines();
            // its kubelet had no Pods API
            while !prints.is_empty() && questions.next()?.unwrap() == "pods" {
                print("");
            }
            if !prints.is_empty() {
                print(prints);
            }
            // a connection that is closed before all was read is reset, and what it said may be lost
            writer.shutdown(std::net::Shutdown::Write).unwrap();
            questions.map_while(Result::ok).for_each(drop);
            return Some(false);
        }
        _ => return None,
    };
    writer.write_all(answer.as_bytes()).unwrap();
    Some(true)
}

fn by_id(all: &Value, id: &str) -> Option<Value> {
    let all = all.as_array()?;
    all.iter().find(|one| one["Id"] == id).cloned()
}

/// `/images/json` from the images' own descriptions.
fn summaries(images: &Value) -> Value {
    let one = |image: &Value| {
        json!({
            "Id": image["Id"], "ParentId": image["Parent"], "RepoTags": image["RepoTags"],
            "RepoDigests": image["RepoDigests"], "Created": 0, "Size": image["Size"],
            "SharedSize": -1, "Labels": image["Config"]["Labels"], "Containers": -1,
        })
    };
    images.as_array().unwrap().iter().map(one).collect()
}

fn serve(stream: TcpStream, node: &Node, refused: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let mut request = String::new();
        if !matches!(reader.read_line(&mut request), Ok(1..)) {
            return;
        }
        let mut header = String::new();
        let mut sent = 0;
        while matches!(reader.read_line(&mut header), Ok(1..)) && header.trim() != "" {
            if let Some(length) = header.to_lowercase().strip_prefix("content-length:") {
                sent = length.trim().parse().unwrap();
            }
            header.clear();
        }
        let mut body = vec![0; sent];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let mut words = request.split_whitespace();
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if node.probe.is_some() {
            match of_the_probe(node, method, path, &mut reader, &mut writer) {
                Some(true) => continue,
                Some(false) => return,
                None => {}
            }
        }
        let (status, body) = if let Some(mut body) = node.answer(method, path) {
            if let Some(change) = &node.change {
                change(path.split('?').next().unwrap_or_default(), &mut body);
            }
            ("200 OK", body)
        } else {
            refused.lock().unwrap().push(format!("{method} {path}"));
            let message = format!("the recording does not hold {method} {path}");
            ("404 Not Found", json!({ "message": message }))
        };
        let body = body.to_string();
        // of a body without a length nothing is read: who goes on here would be cut off
        let ends = sent == 0 && !matches!(method, "GET" | "HEAD");
        let sent = write!(
            writer,
            "HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n\r\n{}",
            if ends { "Connection: close\r\n" } else { "" },
            body.len(),
            if method == "HEAD" { "" } else { &body },
        );
        if sent.is_err() || ends {
            return;
        }
    }
}
