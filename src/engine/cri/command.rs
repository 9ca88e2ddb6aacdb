//! A command that is to run in a container: the container's own process, as its specification has it,
//! with another command.

use serde_json::Value;

use super::node::CriNode;
use super::users;
use crate::engine::exec::Exec;
use crate::engine::node_agent::Session;
use crate::error::{Error, Kind, Result};

/// The specification of the process of a command. `spec` is the container's.
///
/// # Errors
/// When there is no such user in the container; when the specification is none.
pub(in crate::engine) async fn process(
    node: &CriNode,
    container: &str,
    mut spec: Value,
    exec: &Exec,
    session: &Session,
) -> Result<Value> {
    let mut process = spec["process"].take();
    if !process.is_object() {
        return Err(Error::failed(
            "the specification of the container can't be read",
        ));
    }
    process["args"] = exec.command.iter().cloned().collect();
    process["terminal"] = exec.tty.into();
    let kept = process["env"].take();
    process["env"] = environment(&kept, &exec.env).into();
    if let Some(folder) = &exec.workdir {
        process["cwd"] = folder.clone().into();
    }
    if let Some(wanted) = &exec.user {
        process["user"] = Box::pin(user(node, container, wanted, session)).await?;
    }
    Ok(process)
}

/// A user as the container's own lists have it, in the form of a specification.
async fn user(node: &CriNode, container: &str, wanted: &str, session: &Session) -> Result<Value> {
    let (user, group) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted, None),
    };
    let (users, groups) = futures_util::try_join!(
        node.file(container, "/etc/passwd", session),
        node.file(container, "/etc/group", session)
    )?;
    users::resolve(user, group, &users, &groups)
        .ok_or_else(|| Error::failed(format!("there is no user `{wanted}` in the container")))
}

/// The container's variables with those that are set over them.
fn environment(kept: &Value, set: &[String]) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let over: Vec<String> = set.iter().map(|one| name(one)).collect();
    let kept = kept.as_array().into_iter().flatten();
    kept.filter_map(|one| one.as_str().map(str::to_owned))
        .filter(|one| !over.contains(&name(one)))
        .chain(set.iter().cloned())
        .collect()
}

/// The error of a command that did not start, under docker's codes.
pub(in crate::engine) fn not_started(error: Error) -> Error {
    let code = code_of_reason(&error.in_one_line());
    Error::new(Kind::Coded(code), "the command could not be started").caused_by(error)
}

/// Docker's code for the reason why a command did not start, by the words of OCI runtimes.
pub(in crate::engine) fn code_of_reason(text: &str) -> u8 {
    let text = text.to_ascii_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if is(&["executable file not found", "no such file"]) {
        127
    } else if is(&[
        "permission denied",
        "exec format error",
        "is a directory",
        // crun's
        "is not a regular file",
        "is not executable",
    ]) {
        126
    } else {
        125
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_words_have_dockers_codes() {
        for (words, code) in [
            // crun's and runc's
            (
                "executable file `nosuch` not found in $PATH: No such file or directory",
                127,
            ),
            ("exec: \"nosuch\": executable file not found in $PATH", 127),
            ("exec /etc/passwd: Permission denied", 126),
            (
                "the path `/etc` is not a regular file: Operation not permitted",
                126,
            ),
            (
                "the path `/etc/passwd` exists but it is not executable: Operation not permitted",
                126,
            ),
            (
                "executable file `/bin/nosuch` not found: No such file or directory",
                127,
            ),
            ("exec /x: exec format error", 126),
            ("cannot exec in a stopped container", 125),
        ] {
            assert_eq!(code_of_reason(words), code, "{words}");
        }
    }
}
