//! A few tools for a container that has none: a small shell whose commands are built in. It sees the
//! files of another process of its PID namespace as that process sees them.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "ls [-l] [PATH...]  cat FILE...  ps  ss  env  connect [tcp/|udp/]ADDRESS:PORT|dns...  echo WORD...  sleep SECONDS  cd [PATH]  pwd  exit [CODE]\n";

/// Says that it is there, and waits until stdin ends. What holds it open may be killed: then this program ends, and with it
/// the container and all that was started in it.
pub(crate) fn hold() {
    println!("ready");
    let mut nothing = io::sink();
    // an error of stdin is its end as well
    let _ended = io::copy(&mut io::stdin().lock(), &mut nothing);
}

/// Runs one command, or, without one, those that stdin holds.
pub(crate) fn shell(root: &str, command: &[&str]) -> ExitCode {
    let of = process(root);
    // the process that is looked at must be one that may be looked at
    if let Err(error) =
        std::os::unix::fs::chroot(root).and_then(|()| std::env::set_current_dir("/"))
    {
        eprintln!("the container's files can't be seen ({root}: {error})");
        return ExitCode::from(125);
    }
    if !command.is_empty() {
        return ExitCode::from(run(command, of));
    }
    let prompt = io::stdin().is_terminal();
    if prompt {
        println!("devnet's own few tools: `help` names them, `--image` brings others");
    }
    let mut last = 0;
    let mut lines = io::stdin().lock();
    loop {
        if prompt {
            print!("{}# ", here().display());
            let _gone = io::stdout().flush();
        }
        let mut line = String::new();
        if !matches!(lines.read_line(&mut line), Ok(1..)) {
            return ExitCode::from(last);
        }
        let words = match words(&line) {
            Ok(words) => words,
            Err(why) => {
                eprintln!("{why}");
                last = 2;
                continue;
            }
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => {}
            ["exit"] => return ExitCode::from(last),
            ["exit", code] => return ExitCode::from(code.parse().unwrap_or(2)),
            words => last = run(words, of),
        }
    }
}

fn here() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| "?".into())
}

/// Blanks divide; quotes and backslashes keep them.
fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut all = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            ('#', None) if word.is_none() => break,
            (c, None) if c.is_whitespace() => all.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote has no end");
    }
    all.extend(word);
    Ok(all)
}

/// The process that has that root, as `/proc/PID/root`.
fn process(root: &str) -> u32 {
    let pid = root.split('/').find_map(|word| word.parse().ok());
    pid.unwrap_or(1)
}

fn run(command: &[&str], of: u32) -> u8 {
    let (name, arguments) = (command[0], &command[1..]);
    let outcome = match name {
        "ls" => ls(arguments),
        "cat" => each(arguments, |file| {
            let mut file = fs::File::open(file)?;
            io::copy(&mut file, &mut io::stdout().lock()).map(drop)
        }),
        "ps" => {
            ps();
            Ok(())
        }
        "ss" => {
            ss();
            Ok(())
        }
        "env" => env(of),
        "connect" => crate::connect::all(arguments),
        "echo" => {
            println!("{}", arguments.join(" "));
            Ok(())
        }
        "sleep" => match arguments {
            [seconds] => crate::http::seconds(seconds)
                .map(std::thread::sleep)
                .ok_or_else(|| format!("`{seconds}` is no number of seconds")),
            _ => Err("one number of seconds is needed".to_owned()),
        },
        "cd" => each(&[*arguments.first().unwrap_or(&"/")], |path| {
            std::env::set_current_dir(path)
        }),
        "pwd" => {
            println!("{}", here().display());
            Ok(())
        }
        "help" => {
            print!("{HELP}");
            Ok(())
        }
        "true" => Ok(()),
        "false" => return 1,
        other => {
            eprintln!("there is no `{other}` here: {}", HELP.trim_end());
            return 127;
        }
    };
    match outcome {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("{name}: {why}");
            1
        }
    }
}

fn each(paths: &[&str], mut act: impl FnMut(&str) -> io::Result<()>) -> Result<(), String> {
    let mut failed = Vec::new();
    for path in paths {
        if let Err(error) = act(path) {
            failed.push(format!("{path}: {error}"));
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("; "))
    }
}

fn ls(arguments: &[&str]) -> Result<(), String> {
    let long = arguments
        .iter()
        .any(|word| word.starts_with('-') && word.contains('l'));
    let mut paths: Vec<&str> = arguments
        .iter()
        .copied()
        .filter(|word| !word.starts_with('-'))
        .collect();
    if paths.is_empty() {
        paths.push(".");
    }
    each(&paths, |path| {
        if !fs::metadata(path)?.is_dir() {
            show(Path::new(path), path, long);
            return Ok(());
        }
        let mut names: Vec<_> = fs::read_dir(path)?
            .flatten()
            .map(|one| one.path())
            .collect();
        names.sort();
        for one in names {
            let name = one
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            show(&one, &name, long);
        }
        Ok(())
    })
}

fn show(path: &Path, name: &str, long: bool) {
    let Some(about) = fs::symlink_metadata(path).ok().filter(|_| long) else {
        println!("{name}");
        return;
    };
    let kind = about.file_type();
    let letter = match (kind.is_dir(), kind.is_symlink(), kind.is_file()) {
        (true, ..) => 'd',
        (_, true, _) => 'l',
        (.., true) => '-',
        _ => '?',
    };
    let to = fs::read_link(path).map_or(String::new(), |to| format!(" -> {}", to.display()));
    println!(
        "{letter}{:04o} {:>6} {:>6} {:>10} {name}{to}",
        about.permissions().mode() & 0o7777,
        about.uid(),
        about.gid(),
        about.len()
    );
}

fn pids() -> Vec<u32> {
    let mut all: Vec<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    all.sort_unstable();
    all
}

fn ps() {
    println!("{:>7} {:>6} S COMMAND", "PID", "UID");
    for pid in pids() {
        // a process may end meanwhile
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next())
                .unwrap_or("?")
        };
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let line = if line.is_empty() {
            format!("[{}]", field("Name:"))
        } else {
            line
        };
        println!(
            "{pid:>7} {:>6} {} {}",
            field("Uid:"),
            field("State:"),
            line.trim_end()
        );
    }
}

fn ss() {
    println!("PROTO STATE       LOCAL                    REMOTE");
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            if let Some(row) = crate::snap::sockets::row(&table[..3], line) {
                let (local, remote) = (row.local.to_string(), row.remote.to_string());
                println!("{table:<5} {:<11} {local:<24} {remote}", row.state);
            }
        }
    }
}

/// The variables of the process that is looked at: others of its PID namespace may be older.
fn env(of: u32) -> Result<(), String> {
    let all = fs::read(format!("/proc/{of}/environ")).map_err(|error| error.to_string())?;
    for one in all.split(|byte| *byte == 0).filter(|one| !one.is_empty()) {
        println!("{}", String::from_utf8_lossy(one));
    }
    Ok(())
}

/// The lowest PID in this namespace whose cgroup belongs to a container; `1` where none says so.
pub(crate) fn first_of(container: &str) {
    let ours = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(container))
    };
    println!("{}", pids().into_iter().find(ours).unwrap_or(1));
}
