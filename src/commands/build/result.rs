//! `devnet build`: the image on every node, and what is written about it.

use std::io::{self, Write as _};
use std::path::Path;

use crate::commands::build::part::{UnfinishedFile, writer};
use crate::commands::deliver::{ImageSource, Lack, Name, name_it, needs};
use crate::commands::invocation::Context;
use crate::commands::invocation::every_node::on_nodes;
use crate::commands::invocation::target::NodeTarget;
use crate::engine::Engine;
use crate::engine::buildkit::Built;
use crate::error::{Error, Kind, Result};
use crate::host::owner::SignedToken;
use crate::host::replace;
use crate::image::reference;
use crate::image::stored::Keep;
use crate::load::transfer::{BlobCache, Transfer};

pub(super) fn cannot_write(path: &Path) -> Error {
    Error::failed(format!("`{}` can't be written", path.display()))
}

/// Another node that gets the image, or why it can't.
pub(super) type Other = (String, Result<Engine>);

/// Connects to the nodes that the image is handed over to.
///
/// # Errors
/// When one has another kind of processor: one image can't serve both.
pub(super) async fn connect(
    others: &[NodeTarget],
    builder: &Engine,
    context: &Context,
) -> Result<Vec<Other>> {
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let own = builder.runtime.architecture().await?;
    let looks = on_nodes(others, async |node| {
        let engine = context.connect(node).await?;
        let architecture = engine.runtime.architecture().await?;
        Ok((engine, architecture))
    });
    let connected = looks.await.into_iter().map(|(node, found)| match found {
        Ok((_, other)) if other != own => Err(Error::failed(format!(
            "node `{}` is {other}, the one that builds is {own}",
            node.name
        ))
        .hint("`--node NAME` builds on one node alone")),
        found => Ok((node.name.clone(), found.map(|(engine, _)| engine))),
    });
    connected.collect()
}

/// Brings the image to the other nodes, each of which gets the layers that it lacks.
///
/// # Errors
/// Partly, when some do not have it.
pub(super) async fn hand_over(
    from: &Engine,
    id: &str,
    names: &[String],
    others: &[Other],
    context: &Context,
) -> Result<()> {
    // a pod can't ask for an image without a name
    if others.is_empty() || names.is_empty() {
        return Ok(());
    }
    let image = from.images.image(id).await?;
    let mut missing = Vec::new();
    let mut fail = |node: &str, error: &Error| {
        let why = error.in_one_line();
        context
            .ui
            .warn(&format!("node `{node}` does not have the image: {why}"));
        missing.push(node.to_owned());
    };
    let wanted = names
        .iter()
        .map(|name| reference::split(name))
        .collect::<Result<Vec<Name>>>()?;
    let mut lacking = Vec::new();
    for (node, engine) in others {
        let outcome = match engine {
            Err(error) => Err(error.duplicate()),
            Ok(engine) => match needs(engine, &image, &image.id, Keep::ToRun).await {
                Ok(Lack::Nothing(there)) => name_it(engine, &there, &wanted).await.map(|()| None),
                Ok(Lack::Parts(needs)) => Ok(Some(needs)),
                Err(error) => Err(error),
            },
        };
        match outcome {
            Ok(Some(needs)) => lacking.push((node, needs)),
            Ok(None) => context
                .ui
                .detail(&format!("node {node}: the image was there")),
            Err(error) => fail(node, &error),
        }
    }
    let image_source = ImageSource::Engine(Transfer {
        source: from,
        image,
        name: names[0].clone(),
        token: SignedToken::new(),
        // a node's engine does not see this computer's loopback
        shares_loopback: false,
        leftovers: std::sync::Mutex::default(),
    });
    let (nodes, needs): (Vec<_>, Vec<_>) = lacking.into_iter().unzip();
    let sent = context
        .deliver(&image_source, &needs, &wanted, &mut BlobCache::default())
        .await?;
    for (node, sent) in nodes.into_iter().zip(sent) {
        match sent.outcome {
            Ok(_id) => context
                .ui
                .detail(&format!("node {node}: {} bytes were sent", sent.bytes)),
            Err(error) => fail(node, &error),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let message = "the image was built, but not every node has it";
    Err(Error::new(
        Kind::Partly,
        format!("{message}: {}", missing.join(", ")),
    ))
}

/// Removes what an earlier build left: an old ID must not pass for this build's. A link stays, and
/// so does what is no file, as a device.
pub(super) fn remove(file: &Path) -> Result<()> {
    if replace::is_special(file) {
        return Ok(());
    }
    match std::fs::remove_file(replace::real(file)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(cannot_write(file).caused_by(error))
        }
        _ => Ok(()),
    }
}

/// Writes a small result whole or not at all.
pub(super) async fn write(file: &Path, text: String) -> Result<()> {
    let place = file.to_owned();
    // a pipe waits for its reader, beside the loop that notices Ctrl-C
    let writing = tokio::task::spawn_blocking(move || {
        let (mut to, part) = writer(&place)?;
        to.write_all(text.as_bytes())
            .and_then(|()| to.flush())
            .map_err(|error| cannot_write(&place).caused_by(error))?;
        drop(to);
        part.map_or(Ok(()), UnfinishedFile::finish)
    });
    writing
        .await
        .map_err(|error| cannot_write(file).caused_by(error))?
}

/// The exporter's answer, as buildx writes it: values that are JSON in base64 are unfolded.
pub(super) fn metadata(built: &Built) -> String {
    use base64::Engine as _;
    let all: serde_json::Map<String, serde_json::Value> = built
        .response
        .iter()
        .map(|(key, value)| {
            let unfolded = base64::engine::general_purpose::STANDARD
                .decode(value)
                .ok()
                .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
                .filter(|json| json.is_object() || json.is_array());
            let value = unfolded.unwrap_or_else(|| value.clone().into());
            (key.clone(), value)
        })
        .collect();
    crate::json::pretty(&all).unwrap_or_default() + "\n"
}
