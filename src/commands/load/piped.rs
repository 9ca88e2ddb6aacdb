//! `devnet load -` and `devnet load <(…)`: an archive that comes through a pipe.

use std::io::{IsTerminal as _, Read};
use std::path::PathBuf;
use std::time::Instant;

use super::nodes::LoadNode;
use super::{Load, fail};
use crate::commands::deliver::Name;
use crate::engine::ImageStore;
use crate::error::{Error, Result};
use crate::host::owner::SignedToken;
use crate::image::archive_image::{ArchiveImage, PlatformImage};
use crate::image::digest::DiffId;
use crate::image::reference::{self, TRANSFER_TAG};
use crate::load::stdin_archive::{Known, receive};
use crate::progress::Sender;
use crate::regular_file::Pipe;
use crate::render::load::{LayerRow, Row};

/// The source of an archive that can be read once.
pub(super) enum Piped {
    Stdin,
    /// A named pipe: as it was typed, and where it is.
    Path(String, PathBuf),
}

impl Piped {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Stdin => "stdin",
            Self::Path(name, _) => name,
        }
    }

    fn input(&self) -> Box<dyn Read + Send> {
        match self {
            Self::Stdin => Box::new(std::io::stdin()),
            Self::Path(_, path) => Box::new(Pipe::Closed(path.clone())),
        }
    }
}

impl Load<'_> {
    /// Brings the one image of the archive in a pipe to every node while it is read.
    pub(super) async fn deliver_piped(&self, piped: Piped) -> Result<Vec<Row>> {
        let name = piped.name();
        if matches!(piped, Piped::Stdin) && std::io::stdin().is_terminal() {
            return Err(Error::usage("an archive is nothing that can be typed")
                .hint("`docker save IMAGE | devnet load -`"));
        }
        let begun = Instant::now();
        let mut rows = Vec::new();
        let mut reached: Vec<(&LoadNode, Known<'_>)> = Vec::new();
        for node in &self.nodes {
            let known = match &node.engine {
                Ok(engine) => Known::of(engine, self.args.keep()).await,
                Err(error) => Err(error.duplicate()),
            };
            match known {
                Ok(known) => reached.push((node, known)),
                Err(error) => rows.push(failed(name, node, &error)),
            }
        }
        if reached.is_empty() {
            return Ok(rows);
        }
        let (asked, known): (Vec<&LoadNode>, Vec<Known<'_>>) = reached.into_iter().unzip();
        let repository = reference::transfer(SignedToken::new().as_str());
        let ours = format!("{repository}:{TRANSFER_TAG}");
        let engines: Vec<_> = known.iter().map(|known| known.engine).collect();
        let mut names = Vec::new();
        let send = !self.args.dry_run;
        let take_back = self.context.forget(&engines, &ours);
        let work = async {
            let pick = |images: Vec<ArchiveImage>| {
                let (found, picked) = self.pick(name, images, &asked)?;
                names = found;
                Ok(picked)
            };
            let under = (repository.as_str(), TRANSFER_TAG);
            let receiving = async |events: &Sender| {
                receive(piped.input(), name, &known, under, send, events, pick).await
            };
            let mut received = self.context.shown(name, None, receiving).await?;
            if send {
                self.remember(&names).await;
            }
            for (node, received) in known.iter().zip(&mut received) {
                let Ok(received) = received else { continue };
                for (repository, tag) in names.iter().filter(|_| send) {
                    if received.sent.outcome.is_ok()
                        && let Err(error) = node.engine.images.tag(&ours, repository, tag).await
                    {
                        received.sent.outcome = Err(error);
                    }
                }
            }
            Ok(received)
        };
        let received = self.context.or_undo(work, take_back).await?;
        if send {
            self.context.forget(&engines, &ours).await;
        }
        for (node, received) in asked.iter().zip(received) {
            let received = match received {
                Ok(received) => received,
                Err(error) => {
                    rows.push(failed(name, node, &error));
                    continue;
                }
            };
            let mut row = row(node, &received.packed, &received.missing, &names);
            if send {
                row.bytes_sent = received.sent.bytes;
                row.seconds = (begun.elapsed().as_secs_f64() * 1e3).round() / 1e3;
            }
            match received.sent.outcome {
                Ok(id) if send => row.id = id,
                Ok(_) => {}
                Err(error) => fail(&mut row, &error),
            }
            rows.push(row);
        }
        rows.sort_by_key(|row: &Row| self.nodes.iter().position(|node| node.name == row.node));
        Ok(rows)
    }

    /// The names, and for each node the image: there must be one alone, for all of them go into
    /// one archive that can't be told apart before its end.
    fn pick(
        &self,
        name: &str,
        mut images: Vec<ArchiveImage>,
        asked: &[&LoadNode],
    ) -> Result<(Vec<Name>, Vec<Result<PlatformImage>>)> {
        let (Some(image), true) = (images.pop(), images.is_empty()) else {
            return Err(Error::usage(format!("{name} holds several images"))
                .caused_by("devnet brings one out of a pipe")
                .hint("write the archive to a file; `devnet load --all FILE` brings all of them"));
        };
        let names = self.names(name, &image)?;
        let picked = asked
            .iter()
            .map(|node| match (&self.platform, &node.engine) {
                (Some(wanted), _) => image.pick(wanted, true),
                (None, Ok(_)) => image.pick(&node.platform, false),
                (None, Err(error)) => Err(error.duplicate()),
            })
            .zip(asked)
            .map(|(picked, node)| {
                let mut packed = picked?.clone();
                if !node.runs(&packed.platform) {
                    packed.index = None;
                }
                Ok(packed)
            })
            .collect();
        Ok((names, picked))
    }
}

fn failed(name: &str, node: &LoadNode, error: &Error) -> Row {
    let mut row = Row {
        node: node.name.clone(),
        image: name.into(),
        ..Row::default()
    };
    fail(&mut row, error);
    row
}

fn row(node: &LoadNode, packed: &PlatformImage, missing: &[usize], names: &[Name]) -> Row {
    let diff_ids: Vec<DiffId> = packed
        .layers
        .iter()
        .map(|layer| layer.diff_id.clone())
        .collect();
    let sizes: Vec<Option<u64>> = packed.layers.iter().map(|layer| Some(layer.size)).collect();
    let id = packed
        .target_id()
        .filter(|_| node.store == ImageStore::Containerd);
    let mut row = Row {
        node: node.name.clone(),
        image: names
            .first()
            .map(|(repository, tag)| format!("{repository}:{tag}"))
            .unwrap_or_default(),
        id: id.unwrap_or(packed.config_id()).to_owned(),
        layers_total: diff_ids.len(),
        layers_sent: missing.len(),
        bytes_total: packed.layers.iter().map(|layer| layer.size).sum(),
        bytes_sent: missing.iter().map(|place| packed.layers[*place].size).sum(),
        layers: LayerRow::all(&diff_ids, &sizes),
        ..Row::default()
    };
    for place in missing {
        row.layers[*place].have = false;
    }
    row
}
