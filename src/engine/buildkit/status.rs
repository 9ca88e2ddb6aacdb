//! BuildKit's news and failures as the rest of devnet reads them.

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::StatusResponse;
use bollard_buildkit_proto::pb;
use prost::Message as _;

use crate::progress::{Lines, Log, Position, SourceFile, Task, Update, Vertex, Warning};

/// One message of the status stream.
pub(crate) fn update(message: StatusResponse) -> Update {
    Update {
        vertexes: message
            .vertexes
            .into_iter()
            .map(|vertex| Vertex {
                digest: vertex.digest,
                inputs: vertex.inputs,
                name: vertex.name,
                started: time(vertex.started),
                completed: time(vertex.completed),
                cached: vertex.cached,
                error: vertex.error,
            })
            .collect(),
        statuses: message
            .statuses
            .into_iter()
            .map(|task| Task {
                id: task.id,
                vertex: task.vertex,
                name: task.name,
                total: task.total,
                current: task.current,
                timestamp: time(task.timestamp),
                started: time(task.started),
                completed: time(task.completed),
            })
            .collect(),
        logs: message
            .logs
            .into_iter()
            .map(|log| Log {
                vertex: log.vertex,
                stream: log.stream,
                data: log.msg,
                timestamp: time(log.timestamp),
            })
            .collect(),
        warnings: message
            .warnings
            .into_iter()
            .map(|warning| Warning {
                vertex: warning.vertex,
                level: warning.level,
                short: warning.short,
                detail: warning.detail,
                url: warning.url,
                source: warning.info.map(source),
                ranges: warning.ranges.into_iter().map(lines).collect(),
            })
            .collect(),
    }
}

fn time(time: Option<Timestamp>) -> Option<jiff::Timestamp> {
    time.and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok())
}

fn source(info: pb::SourceInfo) -> SourceFile {
    SourceFile {
        filename: info.filename,
        data: info.data,
    }
}

fn lines(range: pb::Range) -> Lines {
    let position = |position: Option<pb::Position>| {
        position.map_or_else(Position::default, |position| Position {
            line: position.line,
            character: position.character,
        })
    };
    Lines {
        start: position(range.start),
        end: position(range.end),
    }
}

/// The places in the Dockerfile that a failure's details name.
pub(crate) fn places(details: &[u8]) -> Vec<(SourceFile, Vec<Lines>)> {
    let Ok(status) = bollard_buildkit_proto::google::rpc::Status::decode(details) else {
        return Vec::new();
    };
    status
        .details
        .iter()
        .filter(|detail| detail.type_url.contains("errdefs.Source"))
        .filter_map(|detail| place(&detail.value))
        .collect()
}

/// BuildKit writes this detail as JSON.
fn place(json: &[u8]) -> Option<(SourceFile, Vec<Lines>)> {
    use base64::Engine as _;
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    let info = value.get("info")?;
    let data = base64::engine::general_purpose::STANDARD
        .decode(info.get("data")?.as_str()?)
        .ok()?;
    let number = |value: &serde_json::Value, name: &str| {
        value
            .get(name)
            .and_then(serde_json::Value::as_i64)
            .and_then(|number| i32::try_from(number).ok())
            .unwrap_or(0)
    };
    let position = |range: &serde_json::Value, end: &str| {
        range
            .get(end)
            .map_or_else(Position::default, |position| Position {
                line: number(position, "line"),
                character: number(position, "character"),
            })
    };
    let lines = value
        .get("ranges")
        .and_then(serde_json::Value::as_array)
        .map(|ranges| {
            ranges
                .iter()
                .map(|range| Lines {
                    start: position(range, "start"),
                    end: position(range, "end"),
                })
                .collect()
        })
        .unwrap_or_default();
    let source = SourceFile {
        filename: info.get("filename")?.as_str()?.to_owned(),
        data,
    };
    Some((source, lines))
}
