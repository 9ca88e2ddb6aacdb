//! `devnet build`: where the result goes: the engine's store, folders and archives on this computer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::commands::build::node_image::NodeImage;
use crate::commands::build::part::{UnfinishedFile, writer};
use crate::commands::build::receipt::Receipt;
use crate::commands::build::result::cannot_write;
use crate::commands::invocation::Context;
use crate::engine::buildkit::streams::Sink;
use crate::engine::{Engine, ImageStore, Info};
use crate::error::{Error, Result};
use crate::host::replace::{is_special, real};
use crate::host::unpack::Unpacking;
use crate::image::build::Options;
use crate::image::build_flags::{Attributed, Output};
use crate::image::oci_archive::{self, ArchiveFormat};

/// The plan by which the results come to be.
#[derive(Default)]
pub(super) struct Plan {
    /// The engine's exporters, each with the sink for what it sends.
    pub(super) exporters: Vec<(Attributed, Option<Sink>)>,
    /// Files that the sinks write.
    parts: Vec<UnfinishedFile>,
    /// Folders that the sinks fill.
    folders: Vec<Unpacking>,
    /// The receipts of the sinks.
    receipts: Vec<Receipt>,
    /// Archives that the engine has no exporter for: made of its image afterwards.
    archives: Vec<(ArchiveFormat, PathBuf)>,
    /// The engine is to have the image afterwards.
    keeps_image: bool,
}

impl Plan {
    /// The exporters, in groups that this engine takes at once; at least one group.
    ///
    /// # Errors
    /// When the engine does not say how many it takes.
    pub(super) async fn rounds(
        &mut self,
        engine: &Engine,
    ) -> Result<Vec<Vec<(Attributed, Option<Sink>)>>> {
        let all = std::mem::take(&mut self.exporters);
        if all.len() < 2 || engine.builder.features().await?.several_exporters {
            return Ok(vec![all]);
        }
        Ok(all.into_iter().map(|one| vec![one]).collect())
    }
}

/// True where an output is an image in the engine.
pub(super) fn is_for_the_engine(output: &Output) -> bool {
    match output.what.kind.as_str() {
        "image" | "registry" => true,
        "docker" => output.dest.is_none(),
        _ => false,
    }
}

/// Looks at the places before anything is built.
///
/// # Errors
/// When a result could not be put there.
pub(super) fn check(outputs: &[Output], context: &Context) -> Result<()> {
    let mut seen = BTreeSet::new();
    for output in outputs {
        let Some(place) = &output.dest else { continue };
        if !seen.insert(place) {
            return Err(Error::usage(format!(
                "two outputs go to `{}`",
                place.display()
            )));
        }
        if place == Path::new("-") {
            if context.ui.stdout_is_terminal() {
                return Err(
                    Error::usage("an archive is nothing for a terminal").hint("redirect stdout")
                );
            }
            continue;
        }
        if output.what.kind == "local" {
            let there = std::iter::successors(Some(place.as_path()), |place| place.parent())
                .find(|place| place.symlink_metadata().is_ok())
                .unwrap_or(Path::new("."));
            writable_folder(there, place)?;
        } else if place.is_dir() {
            return Err(cannot_write(place).caused_by("it is a folder; `dest` names a file"));
        } else if !is_special(place) {
            let real = real(place);
            let folder = real
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            writable_folder(folder.unwrap_or(Path::new(".")), place)?;
        }
    }
    Ok(())
}

fn writable_folder(folder: &Path, place: &Path) -> Result<()> {
    let why =
        |why: &str| Err(cannot_write(place).caused_by(format!("`{}` {why}", folder.display())));
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => why("does not exist"),
        Err(error) => Err(cannot_write(place).caused_by(error)),
        Ok(facts) if !facts.is_dir() => why("is no folder"),
        Ok(_) => may_write(folder).map_err(|error| cannot_write(place).caused_by(error)),
    }
}

#[cfg(unix)]
fn may_write(folder: &Path) -> io::Result<()> {
    use rustix::fs::Access;
    rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
}

#[cfg(not(unix))]
fn may_write(_folder: &Path) -> io::Result<()> {
    // creating the file says it
    Ok(())
}

/// Decides how the outputs are made by this engine, and opens their files.
///
/// # Errors
/// When this engine can't make one; when a file can't be made.
pub(super) fn plan(
    outputs: &[Output],
    options: &Options,
    annotations: &BTreeMap<String, String>,
    engine: &Info,
    (node_image, push): (Option<&NodeImage<'_>>, bool),
) -> Result<Plan> {
    let native = engine.store != ImageStore::Graph;
    if !native && !annotations.is_empty() {
        return Err(
            Error::failed("`--annotation` needs an engine with containerd's image store")
                .caused_by("an image in a graph driver's store has no annotations")
                .hint("`--label` puts a name and a value into the image itself"),
        );
    }
    if let (false, Some(kind)) = (native, options.attestations.keys().next()) {
        return Err(Error::failed(format!(
            "`--{kind}` needs an engine with containerd's image store"
        ))
        .caused_by("an image in a graph driver's store has no place for it"));
    }
    let mut image = annotations.clone();
    if !options.tags.is_empty() {
        image.insert("name".to_owned(), options.tags.join(","));
    }
    let mut plan = Plan {
        keeps_image: outputs.is_empty(),
        ..Plan::default()
    };
    let mut stored = outputs.is_empty().then(|| image.clone());
    for Output { what, dest } in outputs {
        let mut attributes = what.attributes.clone();
        match (what.kind.as_str(), dest) {
            ("cacheonly", _) => {}
            ("local", Some(folder)) => {
                // the engine's own way into a folder needs a receiver of its own; a tar carries the same
                let sink = plan.unpack_to(folder)?;
                plan.add("tar", attributes, Some(sink));
            }
            ("tar", Some(file)) => {
                let sink = plan.write_to(file)?;
                plan.add("tar", attributes, Some(sink));
            }
            (kind @ ("oci" | "docker"), Some(file)) => {
                attributes.remove("name");
                if attributes.remove("tar").is_some_and(|tar| tar == "false") {
                    return Err(Error::failed(format!(
                        "`--output type={kind},tar=false`: only an archive can be written"
                    ))
                    .hint("write the archive, and unpack it"));
                }
                if native {
                    attributes.extend(image.clone());
                    let sink = plan.write_to(file)?;
                    plan.add(kind, attributes, Some(sink));
                    continue;
                }
                only_plain_layers(kind, &attributes)?;
                let kind = if kind == "oci" {
                    ArchiveFormat::Oci
                } else {
                    ArchiveFormat::Docker
                };
                plan.archives.push((kind, file.clone()));
            }
            // an image in the engine
            _ => {
                plan.keeps_image = true;
                attributes.remove("push");
                attributes.remove("name");
                stored
                    .get_or_insert_with(|| image.clone())
                    .append(&mut attributes);
            }
        }
    }
    if !plan.archives.is_empty() {
        // an image that only passes through the engine's store gets no name there
        stored.get_or_insert_default();
    }
    if let Some(mut attributes) = stored {
        let kind = match node_image {
            None => "moby",
            Some(own) => {
                if push {
                    // under its own names, which the node's store does not give it by this
                    let mut pushed = attributes.clone();
                    pushed.extend(NodeImage::pushed());
                    plan.add("image", pushed, None);
                }
                own.describe(&mut attributes);
                "image"
            }
        };
        plan.exporters
            .insert(0, (attributed(kind, attributes), None));
    }
    Ok(plan)
}

/// A graph driver's store has its layers unpacked, and they are written so.
fn only_plain_layers(kind: &str, attributes: &BTreeMap<String, String>) -> Result<()> {
    let plain = |(key, value): &(&String, &String)| match key.as_str() {
        "compression" => *value == "uncompressed",
        "oci-mediatypes" => *value == "true",
        _ => false,
    };
    match attributes.iter().find(|attribute| !plain(attribute)) {
        None => Ok(()),
        Some((key, value)) => Err(Error::failed(format!(
            "`--output type={kind},{key}={value}` needs an engine with containerd's image store"
        ))
        .caused_by("an engine with a graph driver has no such exporter; devnet writes its layers as they are, uncompressed")),
    }
}

fn attributed(kind: &str, attributes: BTreeMap<String, String>) -> Attributed {
    Attributed {
        kind: kind.to_owned(),
        attributes,
    }
}

impl Plan {
    fn add(&mut self, kind: &str, attributes: BTreeMap<String, String>, sink: Option<Sink>) {
        self.exporters.push((attributed(kind, attributes), sink));
    }

    fn write_to(&mut self, file: &Path) -> Result<Sink> {
        let (mut to, part) = writer(file)?;
        self.parts.extend(part);
        let copy = move |stream: &mut dyn Read| match io::copy(stream, &mut to)? {
            0 => Err(io::Error::other("the engine sent nothing")),
            _ => io::Write::flush(&mut to),
        };
        Ok(self.with_receipt(file, Box::new(copy)))
    }

    /// Unpacks a tar into a folder, which is made.
    fn unpack_to(&mut self, folder: &Path) -> Result<Sink> {
        std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder).caused_by(error))?;
        let unpacking = Unpacking::default();
        let sink = Box::new(unpacking.sink(folder));
        self.folders.push(unpacking);
        Ok(self.with_receipt(folder, sink))
    }

    fn with_receipt(&mut self, place: &Path, sink: Sink) -> Sink {
        let (receipt, sink) = Receipt::of(place, sink);
        self.receipts.push(receipt);
        sink
    }

    /// The error of a place that could not be written, where the build failed for that.
    pub(super) fn complaint(&mut self) -> Option<Error> {
        self.receipts.iter_mut().find_map(Receipt::complaint)
    }

    /// Makes the archives that the engine has no exporter for, and gives all files their names.
    pub(super) async fn finish(
        self,
        engine: &Engine,
        id: Option<&str>,
        before: &BTreeSet<String>,
        names: &[String],
        context: &Context,
    ) -> Result<()> {
        let mut parts = self.parts;
        for receipt in self.receipts {
            receipt.check().await?;
        }
        drop(self.folders);
        if let (Some(id), false) = (id, self.archives.is_empty()) {
            let archives = async {
                let mut parts = Vec::new();
                for (kind, file) in &self.archives {
                    parts.extend(archive(engine, id, *kind, file, names).await?);
                }
                Ok(parts)
            };
            let passing = !self.keeps_image && !before.contains(id);
            let take_back = async {
                if passing {
                    forget(engine, id, context).await;
                }
            };
            parts.extend(context.or_undo(archives, take_back).await?);
            if passing {
                forget(engine, id, context).await;
            }
        }
        for part in parts {
            part.finish()?;
        }
        Ok(())
    }

    /// The engine's images before the build, where that matters afterwards.
    pub(super) async fn images_before(&self, engine: &Engine) -> Result<BTreeSet<String>> {
        if self.archives.is_empty() || self.keeps_image {
            return Ok(BTreeSet::new());
        }
        let all = engine.images.image_names().await?;
        Ok(all.into_iter().map(|(id, _names)| id).collect())
    }
}

/// Takes the image away that was there only to be saved; its layers stay in the build cache.
async fn forget(engine: &Engine, id: &str, context: &Context) {
    let nameless = match engine.images.image(id).await {
        Ok(image) => image.tags.is_empty(),
        // it is gone already
        Err(_) => return,
    };
    if nameless && let Err(error) = engine.images.untag(id).await {
        context.ui.warn(&error.in_one_line());
    }
}

/// Saves the engine's image as an archive.
async fn archive(
    engine: &Engine,
    id: &str,
    kind: ArchiveFormat,
    file: &Path,
    names: &[String],
) -> Result<Option<UnfinishedFile>> {
    let image = engine.images.image(id).await?;
    let mut wanted = oci_archive::Wanted {
        kind,
        id: image.id,
        layers: image.layers,
        names: names.to_vec(),
        places: std::collections::HashMap::new(),
    };
    if !engine.images.archives_name_layers_by_digest() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let look = move |saved: &mut dyn Read| {
            let places = oci_archive::places(saved)?;
            let _nobody = tell.send(places);
            io::copy(saved, &mut io::sink()).map(|_rest| ())
        };
        engine.images.save_into(id, Box::new(look)).await?;
        wanted.places = told.await.unwrap_or_default();
    }
    let (to, part) = writer(file)?;
    let mut to = io::BufWriter::with_capacity(256 << 10, to);
    let convert = move |saved: &mut dyn Read| {
        oci_archive::write(saved, &mut to, &wanted)?;
        io::Write::flush(&mut to)?;
        io::copy(saved, &mut io::sink()).map(|_rest| ())
    };
    engine.images.save_into(id, Box::new(convert)).await?;
    Ok(part)
}
