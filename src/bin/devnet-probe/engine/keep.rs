//! The keeper of a node's Docker engine: the guard and the engine's parent in one process, so that
//! neither lives without the other. A second process, which only waits, takes away what is left when
//! this one is killed.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::engine::clean;
use crate::engine::output::program;
use crate::engine::place;
use crate::engine::process::{Process, of_name, until};
use crate::engine::system::{self, SIGKILL, SIGTERM};
use crate::guard;
use crate::signals;

/// The log begins anew beyond this, in bytes.
const LONGEST_LOG: u64 = 1 << 20;
/// The variables of containerd's that say how the node reaches registries.
const PROXIES: [&str; 6] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Runs the engine until it ends, or is told to; then takes away what it left.
///
/// # Errors
/// When it does not start.
pub(super) fn keep() -> Result<(), String> {
    let told = signals::hold(&[signals::SIGINT, SIGTERM, signals::SIGCHLD]);
    system::leave_session();
    let own = Process::of(std::process::id()).ok_or("this process is not known")?;
    let named = fs::write(place::GUARD, own.written());
    named.map_err(|error| format!("{}: {error}", place::GUARD))?;
    let outcome = run(&told);
    clean::all();
    outcome
}

fn run(told: &signals::SignalSet) -> Result<(), String> {
    let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let mut cleaner = program(place::PROGRAM)
        .args(["engine", "clean-up"])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(failed("the second process"))?;
    system::withhold(0o077);
    let listener = guard::listen(place::PLUGIN_SOCKET).map_err(failed(place::PLUGIN_SOCKET))?;
    system::withhold(0o022);
    std::thread::spawn(move || guard::serve(&listener, place::SOCKET));
    let mut engine = start().map_err(failed("dockerd"))?;
    loop {
        let signal = signals::next(told);
        if signal != signals::SIGCHLD {
            system::kill(engine.id(), SIGTERM);
            continue;
        }
        if let Ok(Some(_status)) = engine.try_wait() {
            break;
        }
        if let Ok(Some(_status)) = cleaner.try_wait() {
            // nobody would take away what this process leaves
            system::kill(engine.id(), SIGTERM);
        }
    }
    // the second process goes when its input ends
    Ok(())
}

/// Starts dockerd, which is killed with this process.
fn start() -> io::Result<Child> {
    let (reader, writer) = io::pipe()?;
    let mut command = program("dockerd");
    command
        .args(["--config-file", place::CONFIG])
        // its configuration file has no word for this
        .args(["--containerd-plugins-namespace", "k8s.io-plugins"])
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(writer.try_clone()?))
        .stderr(OwnedFd::from(writer));
    carry_proxies(&mut command);
    system::die_with_parent(&mut command);
    let child = command.spawn()?;
    std::thread::spawn(move || log(reader));
    Ok(child)
}

/// Writes down what the engine says, and no more than fits.
fn log(mut from: io::PipeReader) {
    let file = fs::File::options()
        .create(true)
        .append(true)
        .open(place::LOG);
    let Ok(mut file) = file else {
        return;
    };
    let mut piece = [0; 8 << 10];
    let mut length = 0;
    while let Ok(read @ 1..) = from.read(&mut piece) {
        length += read as u64;
        if length > LONGEST_LOG && file.set_len(0).is_ok() {
            length = read as u64;
        }
        // a full disk takes nothing down
        let _full = file.write_all(&piece[..read]);
    }
}

/// Hands containerd's proxies on to a command.
fn carry_proxies(command: &mut Command) {
    let containerd = of_name("containerd").into_iter().min();
    let environment = containerd.and_then(|pid| fs::read(format!("/proc/{pid}/environ")).ok());
    for one in environment.unwrap_or_default().split(|byte| *byte == 0) {
        let text = String::from_utf8_lossy(one);
        if let Some((name, value)) = text.split_once('=')
            && PROXIES.contains(&name)
        {
            command.env(name, value);
        }
    }
}

/// Waits for the end of the keeper, which holds this process's input, and takes away what it left.
pub(super) fn clean_up_after_keeper() {
    let _waiting = signals::hold(&[signals::SIGINT, SIGTERM]);
    system::leave_session();
    let keeper = Process::named_by(place::GUARD);
    let _ended = io::copy(&mut io::stdin(), &mut io::sink());
    let engine = fs::read_to_string(place::PID).ok();
    let engine = engine.and_then(|pid| Process::of(pid.trim().parse().ok()?));
    // another keeper may be there already
    let same = keeper.is_some_and(|keeper| {
        fs::read_to_string(place::GUARD).is_ok_and(|text| text == keeper.written())
    });
    if !same {
        return;
    }
    let _gone = fs::remove_file(place::PLUGIN_SOCKET);
    // the kernel has killed it with its parent
    if let Some(engine) = engine
        && !until(Duration::from_secs(5), || !engine.lives())
    {
        engine.signal(SIGKILL);
    }
    clean::all();
}
