//! Engines that freeze once a request is on its way, and engines that work for long without a word:
//! the first are given up, the second are not.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};

use crate::support::archive::{Files, Pack, base, layer};
use crate::support::engines::Engine;
use crate::support::made::Made;
use crate::support::rewriting::{Hold, Rewriting};
use crate::support::{Output, Sandbox, ended, testbed, until};

/// The number of pings that an engine answers before it says the answer: it has been silent for
/// three times as long as an answer may pause.
const PINGS: usize = 6;

/// A verb at the moment when its engine has been told to do something.
struct Moment {
    arguments: &'static [&'static str],
    method: &'static str,
    path: &'static str,
    /// The preparation, so that there is something to do.
    before: fn(&Place),
    /// True where an engine may take its time for it.
    works: bool,
}

const MOMENTS: &[Moment] = &[
    Moment {
        arguments: &["images", "prune", "--yes"],
        method: "DELETE",
        path: "/images/",
        before: Place::spare_image,
        works: true,
    },
    Moment {
        arguments: &["load", "./app.tar"],
        method: "POST",
        path: "/images/load",
        before: Place::archive,
        works: true,
    },
    Moment {
        arguments: &["lab", "up", "./init.yaml"],
        method: "POST",
        path: "/wait",
        before: Place::manifest,
        works: true,
    },
    Moment {
        arguments: &["lab", "kill", "web"],
        method: "POST",
        path: "/kill",
        before: Place::lab,
        works: false,
    },
    Moment {
        arguments: &["lab", "restart", "web"],
        method: "POST",
        path: "/stop",
        before: Place::lab,
        works: true,
    },
    Moment {
        arguments: &["lab", "down"],
        method: "DELETE",
        path: "/containers/",
        before: Place::lab,
        works: true,
    },
    Moment {
        arguments: &["clean"],
        method: "DELETE",
        path: "/containers/",
        before: Place::lab,
        works: true,
    },
];

struct Place {
    testbed: PathBuf,
    engine: Engine,
    sandbox: Sandbox,
}

impl Place {
    fn spare_image(&self) {
        self.archive();
        for top in ["one", "two"] {
            let layers = [base(5, 1000), layer(&[("top", top.as_bytes())])];
            let bytes = Files::docker("frozen:spare", &layers, Pack::Plain).tar();
            std::fs::write(self.sandbox.home().join("spare.tar"), bytes).unwrap();
            let url = self.engine.url();
            self.sandbox
                .devnet(&["-H", &url, "load", "./spare.tar"])
                .ok();
        }
    }

    fn archive(&self) {
        // each time another image
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let content = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
        let layers = [base(6, 1000), layer(&[("top", content.as_bytes())])];
        let bytes = Files::docker("frozen:app", &layers, Pack::Plain).tar();
        std::fs::write(self.sandbox.home().join("app.tar"), bytes).unwrap();
    }

    fn lab(&self) {
        let url = self.engine.url();
        // what a freeze has left half
        self.sandbox.devnet(&["-H", &url, "lab", "down"]).ok();
        self.sandbox.devnet(&["-H", &url, "lab", "up"]).ok();
    }

    fn manifest(&self) {
        let url = self.engine.url();
        self.sandbox.devnet(&["-H", &url, "lab", "down"]).ok();
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: init}\nspec:\n  \
            initContainers: [{name: first, image: devnet-probe, args: [namespaces]}]\n  \
            containers: [{name: app, image: devnet-probe, args: [pause]}]\n";
        std::fs::write(self.sandbox.home().join("init.yaml"), manifest).unwrap();
    }

    /// Runs devnet until it is held up there, does something, lets it go on, and gives its end.
    fn held(&self, moment: &Moment, hold: Hold, meanwhile: impl FnOnce(&Rewriting)) -> Output {
        let folder = tempfile::tempdir().unwrap();
        let socket = self.engine.socket();
        let proxy = Rewriting::holding(folder.path(), socket, Some(hold), |_, _| {});
        let url = proxy.url();
        let arguments = [&["-H", &url], moment.arguments].concat();
        let mut command = self.sandbox.devnet_command(&arguments);
        let mut child = command
            .env("DEVNET_TIMEOUT", "3")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut is_over = false;
        until("it is held up, or over", || {
            is_over = child.try_wait().unwrap().is_some();
            is_over || proxy.is_held()
        });
        assert!(!is_over, "{hold:?}: {}", ended(child));
        meanwhile(&proxy);
        // all that is held up: a pod's containers are stopped together
        drop(proxy);
        ended(child)
    }
}

#[test]
fn an_engine_that_freezes_at_work_is_given_up_and_one_that_only_says_nothing_is_not() {
    let Some(testbed) = testbed() else { return };
    let place = Place {
        engine: Engine::start(&testbed, "frozen-at-work"),
        sandbox: Sandbox::bare(),
        testbed,
    };
    assert!(place.testbed.is_dir());
    for moment in MOMENTS {
        let what = moment.arguments;
        (moment.before)(&place);
        let hold = Hold::Request(moment.method, moment.path);
        let frozen = place.held(moment, hold, |_| place.engine.signal("STOP"));
        place.engine.signal("CONT");
        assert_eq!(frozen.code, 1, "{what:?}: {frozen}");
        let given_up = ["fell silent", "stopped answering", "stalled"];
        let said = given_up.iter().any(|words| frozen.stderr.contains(words));
        assert!(said, "{what:?}: {frozen}");
        assert!(!frozen.stderr.contains("removed 0"), "{what:?}: {frozen}");
        if moment.works {
            (moment.before)(&place);
            let hold = Hold::Answer(moment.method, moment.path);
            let silent = place.held(moment, hold, |proxy| proxy.until_pinged(PINGS));
            silent.ok();
        }
    }
    let url = place.engine.url();
    place.sandbox.devnet(&["-H", &url, "clean"]).ok();
    assert_eq!(place.engine.left_over(), "");
}

/// Lines of a child's stream as they come.
fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[test]
fn who_follows_a_log_is_told_of_each_stall_once_and_loses_no_line() {
    const MINUTE: std::time::Duration = std::time::Duration::from_mins(1);
    let Some(testbed) = testbed() else { return };
    let engine = Engine::start(&testbed, "frozen-log");
    let image = crate::support::busybox_image(&testbed, &engine.name);
    let mut made = Made::of_image(&testbed, &engine.name, "talker", "none", image);
    let count = "i=0; while :; do i=$((i+1)); echo $i; /bin/busybox sleep 0.02; done";
    made.add("app", &[], &["/bin/busybox", "sh", "-c", count]);
    let sandbox = Sandbox::bare();
    let url = engine.url();
    let mut follower = sandbox
        .devnet_command(&["-H", &url, "logs", "talker", "-f"])
        .env("DEVNET_TIMEOUT", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = lines(follower.stderr.take().unwrap());
    let logged = lines(follower.stdout.take().unwrap());
    let mut last = 0;
    let mut follow = |times: usize| {
        for _ in 0..times {
            let line = logged.recv_timeout(MINUTE).expect("it goes on");
            last += 1;
            assert_eq!(line, last.to_string(), "no line is lost or comes twice");
        }
    };
    follow(50);
    for stall in 1..=2 {
        engine.signal("STOP");
        let notes = || told.recv_timeout(MINUTE).expect("it is told");
        while !notes().contains("nothing comes from the engine") {}
        // given up by then, and looked for again
        while !notes().contains("is lost") {}
        engine.signal("CONT");
        follow(200);
        let again = told
            .try_iter()
            .filter(|line| line.contains("nothing comes"));
        assert_eq!(again.count(), 0, "stall {stall}");
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
}
