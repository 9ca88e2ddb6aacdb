//! `devnet build`: where the result goes on this computer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::commands::Context;
use crate::commands::target::NodeTarget;
use crate::engine::buildkit::{Built, token};
use crate::engine::buildkit_streams::Sink;
use crate::engine::docker_images::Image;
use crate::engine::transfer::{KnownBlobs, Needs, Transfer};
use crate::engine::{Engine, Info};
use crate::error::{Error, Kind, Result};
use crate::image::build::Options;
use crate::image::build_flags::{Attributed, Output};
use crate::image::reference;

/// What is asked of the engine's exporter, and what is done with what it sends.
pub(super) struct Export {
    pub(super) exporter: Option<Attributed>,
    pub(super) sink: Option<Sink>,
    /// The file that the sink writes.
    pub(super) part: Option<Part>,
    /// The engine has no such exporter: its image is saved afterwards, to here.
    pub(super) save_to: Option<PathBuf>,
}

/// Decides how an output is made by this engine.
///
/// # Errors
/// When this engine can't make it.
pub(super) fn export(
    output: Option<&Output>,
    options: &Options,
    annotations: &BTreeMap<String, String>,
    engine: &Info,
    context: &Context,
) -> Result<Export> {
    let native = engine.containerd_store;
    if !native && !annotations.is_empty() {
        return Err(
            Error::failed("`--annotation` needs an engine with containerd's image store")
                .because("an image in a graph driver's store has no annotations")
                .hint("`--label` puts a name and a value into the image itself"),
        );
    }
    if let (false, Some(kind)) = (native, options.attestations.keys().next()) {
        return Err(Error::failed(format!(
            "`--{kind}` needs an engine with containerd's image store"
        ))
        .because("an image in a graph driver's store has no place for it"));
    }
    let mut image = annotations.clone();
    if !options.tags.is_empty() {
        image.insert("name".to_owned(), options.tags.join(","));
    }
    let here = |kind: &str, attributes: BTreeMap<String, String>| {
        Some(Attributed {
            kind: kind.to_owned(),
            attributes,
        })
    };
    let plain = |exporter| Export {
        exporter,
        sink: None,
        part: None,
        save_to: None,
    };
    let Some(Output { what, dest }) = output else {
        return Ok(plain(here("moby", image)));
    };
    let mut attributes = what.attributes.clone();
    Ok(match (what.kind.as_str(), dest) {
        ("cacheonly", _) => plain(None),
        ("local", Some(folder)) => Export {
            // the engine's own way into a folder needs a receiver of its own; a tar carries the same
            exporter: here("tar", attributes),
            sink: Some(unpack_to(folder)?),
            part: None,
            save_to: None,
        },
        ("tar", Some(file)) => {
            let (sink, part) = write_to(file, context)?;
            Export {
                exporter: here("tar", attributes),
                sink: Some(sink),
                part,
                save_to: None,
            }
        }
        ("oci" | "docker", Some(file)) if native => {
            image.append(&mut attributes);
            let (sink, part) = write_to(file, context)?;
            Export {
                exporter: here(&what.kind, image),
                sink: Some(sink),
                part,
                save_to: None,
            }
        }
        ("oci", Some(_)) => {
            return Err(Error::failed(
                "`--output type=oci` needs an engine with containerd's image store",
            )
            .hint("`--output type=docker,dest=FILE` writes an archive that `docker load` takes"));
        }
        ("docker", Some(file)) => Export {
            exporter: here("moby", image),
            sink: None,
            part: None,
            save_to: Some(file.clone()),
        },
        // an image in the engine
        _ => {
            attributes.remove("push");
            attributes.remove("name");
            image.append(&mut attributes);
            plain(here("moby", image))
        }
    })
}

fn cannot_write(path: &Path) -> Error {
    Error::failed(format!("`{}` can't be written", path.display()))
}

/// Unpacks a tar into a folder, which is made.
fn unpack_to(folder: &Path) -> Result<Sink> {
    let folder = folder.to_owned();
    std::fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder).because(error))?;
    Ok(Box::new(move |tar: &mut dyn Read| {
        let mut archive = tar::Archive::new(tar);
        archive.set_preserve_permissions(true);
        archive.set_overwrite(true);
        archive.unpack(&folder)
    }))
}

/// Writes a stream to a file, which gets its name by [`Part::finish`]; `-` is stdout.
pub(super) fn write_to(file: &Path, context: &Context) -> Result<(Sink, Option<Part>)> {
    if file == Path::new("-") {
        if context.ui.stdout_is_terminal() {
            return Err(
                Error::usage("an archive is nothing for a terminal").hint("redirect stdout")
            );
        }
        let sink = Box::new(|stream: &mut dyn Read| {
            let mut stdout = crate::ui::data_writer();
            io::copy(stream, &mut stdout).map(|_length| ())
        });
        return Ok((sink, None));
    }
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".devnet-part");
    let part = Part {
        temporary: PathBuf::from(temporary),
        file: file.to_owned(),
    };
    let mut to =
        File::create(&part.temporary).map_err(|error| cannot_write(file).because(error))?;
    let sink = Box::new(move |stream: &mut dyn Read| io::copy(stream, &mut to).map(|_length| ()));
    Ok((sink, Some(part)))
}

/// A file on its way: gone when this is dropped before it is finished, as by Ctrl-C.
pub(super) struct Part {
    temporary: PathBuf,
    file: PathBuf,
}

impl Part {
    /// Gives the file its name; it is whole.
    pub(super) fn finish(self) -> Result<()> {
        std::fs::rename(&self.temporary, &self.file)
            .map_err(|error| cannot_write(&self.file).because(error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // after the renaming there is nothing under this name
        let _gone = std::fs::remove_file(&self.temporary);
    }
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
    let mut connected = Vec::new();
    for node in others {
        let engine = context.connect(node).await;
        if let Ok(engine) = &engine
            && engine.about().arch != builder.about().arch
        {
            let arch = |engine: &Engine| engine.about().arch.clone().unwrap_or_default();
            return Err(Error::failed(format!(
                "node `{}` is {}, the one that builds is {}",
                node.name,
                arch(engine),
                arch(builder)
            ))
            .hint("`--node NAME` builds on one node alone"));
        }
        connected.push((node.name.clone(), engine));
    }
    Ok(connected)
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
    let image = from.image(id).await?;
    let mut missing = Vec::new();
    let mut fail = |node: &str, error: &Error| {
        let why = error.in_one_line();
        context
            .ui
            .warn(&format!("node `{node}` does not have the image: {why}"));
        missing.push(node.to_owned());
    };
    let mut lacking = Vec::new();
    for (node, engine) in others {
        let outcome = match engine {
            Err(error) => Err(error.again()),
            Ok(engine) => needs(engine, &image, names).await,
        };
        match outcome {
            Ok(Some(needs)) => lacking.push((node, needs)),
            Ok(None) => context
                .ui
                .detail(&format!("node {node}: the image was there")),
            Err(error) => fail(node, &error),
        }
    }
    let transfer = Transfer {
        source: from,
        image,
        name: names[0].clone(),
        token: token(),
        // a node's engine does not see this computer's loopback
        shares_loopback: false,
        source_name: std::sync::Mutex::default(),
    };
    let (nodes, needs): (Vec<_>, Vec<_>) = lacking.into_iter().unzip();
    let name = transfer.transfer_name();
    let take_back = context.forget_transfer(&needs, &name);
    let work = async { Ok(transfer.run(&needs, &mut KnownBlobs::default()).await) };
    let sent = context.or_undo(work, take_back).await?;
    for ((node, need), mut sent) in nodes.into_iter().zip(&needs).zip(sent) {
        if sent.outcome.is_err() {
            // its layers may have gone meanwhile: once, all are sent
            let whole = [Needs::all(need.engine, &transfer.image)];
            let again = transfer.run(&whole, &mut KnownBlobs::default()).await;
            sent = again.into_iter().next().unwrap_or(sent);
        }
        let mut outcome = sent.outcome;
        for wanted in names {
            let (repository, tag) = reference::split(wanted)?;
            if outcome.is_ok() {
                outcome = need.engine.tag(&name, &repository, &tag).await;
            }
        }
        match outcome {
            Ok(()) => context
                .ui
                .detail(&format!("node {node}: {} bytes were sent", sent.bytes)),
            Err(error) => fail(node, &error),
        }
    }
    context.forget_transfer(&needs, &name).await;
    if missing.is_empty() {
        return Ok(());
    }
    let message = "the image was built, but not every node has it";
    Err(Error::new(
        Kind::Partly,
        format!("{message}: {}", missing.join(", ")),
    ))
}

/// What a node lacks of an image; one that has it gets its names.
async fn needs<'e>(
    engine: &'e Engine,
    image: &Image,
    names: &[String],
) -> Result<Option<Needs<'e>>> {
    let there = match engine.image(&image.id).await {
        Ok(there) => there.layers == image.layers,
        Err(error) if error.kind() == Kind::NotFound => false,
        Err(error) => return Err(error),
    };
    if !there {
        return Needs::of(engine, image).await.map(Some);
    }
    for name in names {
        let (repository, tag) = reference::split(name)?;
        engine.tag(&image.id, &repository, &tag).await?;
    }
    Ok(None)
}

/// Removes what an earlier build left: an old ID must not pass for this build's.
pub(super) fn remove(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(cannot_write(file).because(error))
        }
        _ => Ok(()),
    }
}

pub(super) fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).map_err(|error| cannot_write(file).because(error))
}

/// What the exporter said, as buildx writes it: values that are JSON in base64 are unfolded.
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
    format!("{:#}\n", serde_json::Value::from(all))
}
