//! The program that devnet brings into nodes and pods: small, static, std alone, with subcommands.

#![cfg_attr(
    target_os = "linux",
    expect(
        clippy::print_stdout,
        clippy::print_stderr,
        reason = "this program has no ui.rs: it prints, and devnet reads"
    )
)]

#[cfg(target_os = "linux")]
mod confine;
#[cfg(target_os = "linux")]
mod connect;
#[cfg(target_os = "linux")]
mod engine;
#[cfg(target_os = "linux")]
mod guard;
#[cfg(target_os = "linux")]
mod http;
#[cfg(target_os = "linux")]
mod json;
#[cfg(target_os = "linux")]
mod kubelet;
#[cfg(target_os = "linux")]
mod log;
#[cfg(target_os = "linux")]
mod namespaces;
#[cfg(target_os = "linux")]
mod pipes;
#[cfg(target_os = "linux")]
mod power;
#[cfg(target_os = "linux")]
mod procfs;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(target_os = "linux")]
mod snap;
#[cfg(target_os = "linux")]
mod tools;
#[cfg(target_os = "linux")]
mod udp;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ready = power::first(&words).and_then(confine::enter);
    let words = match ready {
        Ok(words) => words,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(125);
        }
    };
    let outcome = match words {
        ["pause"] => signals::pause(),
        ["serve", port] => number(port).and_then(http::serve),
        ["client", url] => http::client(url, std::time::Duration::from_secs(1)),
        ["client", url, seconds] => match http::seconds(seconds) {
            Some(pause) => http::client(url, pause),
            None => Err(format!("`{seconds}` is no number of seconds")),
        },
        ["udp-echo", port] => number(port).and_then(udp::echo),
        ["ask", urls @ ..] if !urls.is_empty() => http::ask_all(urls),
        ["connect", targets @ ..] if !targets.is_empty() => connect::all(targets),
        ["namespaces"] => {
            namespaces::announce();
            Ok(())
        }
        ["hold"] => {
            tools::hold();
            Ok(())
        }
        ["first-of", container] => {
            tools::first_of(container);
            Ok(())
        }
        ["shell", root, command @ ..] => return tools::shell(root, command),
        ["exec", command @ ..] if !command.is_empty() => return confine::become_program(command),
        ["engine", words @ ..] => engine::run(words),
        ["log", path, options @ ..] => log::send(path, options),
        ["pipes", streams @ ..] => pipes::carry(streams),
        ["snap"] => {
            snap::snap();
            Ok(())
        }
        ["snap", "serve"] => {
            snap::serve();
            Ok(())
        }
        _ => {
            eprintln!(
                "devnet-probe {}: pause | serve PORT | client URL [SECONDS] | udp-echo PORT | ask URL... | connect [tcp/|udp/]ADDRESS:PORT|dns... | namespaces | snap [serve] | log FILE [follow] [since=SECONDS] [tail=LINES] | pipes [stdin] [stdout] [stderr] | engine start LABEL ADDRESS|stop [rm-data]|status|keep|clean-up | hold | first-of CONTAINER | shell ROOT [COMMAND...] | exec COMMAND...; confined|confine [lent] before any, enter FILE,... and keep nothing|look|tools before that",
                env!("CARGO_PKG_VERSION")
            );
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{}: {why}", words[0]);
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
fn number(port: &str) -> Result<u16, String> {
    port.parse().map_err(|_| format!("`{port}` is no port"))
}

#[cfg(not(target_os = "linux"))]
fn main() {}
