//! Whether TCP connections from here succeed: one line for each target, all at once.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(2);

/// Tries each `ADDRESS:PORT` and prints `ADDRESS:PORT ok MILLISECONDS`, or `refused`, `timeout`,
/// `unreachable`, `failed` with the reason. Order is that of the arguments.
pub(crate) fn all(targets: &[&str]) -> Result<(), String> {
    let addresses = targets
        .iter()
        .map(|target| {
            target
                .parse::<SocketAddr>()
                .map_err(|_| format!("`{target}` is no ADDRESS:PORT"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let tries: Vec<_> = addresses
        .into_iter()
        .map(|address| (address, std::thread::spawn(move || one(address))))
        .collect();
    for (address, outcome) in tries {
        let outcome = outcome.join().map_err(|_| "a try did not end".to_owned())?;
        println!("{address} {outcome}");
    }
    Ok(())
}

fn one(address: SocketAddr) -> String {
    let begun = Instant::now();
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => format!("ok {:.3}", begun.elapsed().as_secs_f64() * 1000.0),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => "refused".into(),
            io::ErrorKind::TimedOut => "timeout".into(),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                "unreachable".into()
            }
            _ => format!("failed {error}"),
        },
    }
}
