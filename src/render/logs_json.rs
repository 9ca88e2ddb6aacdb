//! A log line as a JSON object. Pure.

use crate::pod::Pod;
use crate::pod::log::Line;

#[derive(serde::Serialize)]
struct Object<'a> {
    pod: &'a str,
    namespace: &'a str,
    container: &'a str,
    time: &'a str,
    stream: &'a str,
    text: &'a str,
    /// The line goes on in the next object of this container and stream.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

/// Writes one line as one object.
pub(crate) fn write(out: &mut Vec<u8>, pod: &Pod, container: &str, line: &Line) {
    let object = Object {
        pod: &pod.name,
        namespace: &pod.namespace,
        container,
        time: &String::from_utf8_lossy(&line.stamp),
        stream: if line.stderr { "stderr" } else { "stdout" },
        text: &String::from_utf8_lossy(&line.text),
        partial: !line.end,
    };
    // text and a flag can always be written
    let _infallible = crate::json::append(out, &object);
    out.push(b'\n');
}
