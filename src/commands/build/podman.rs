//! `devnet build` on a node with cri-o: its podman builds, as Docker's classic builder does. The context
//! crosses as one tar, and not at all where nothing changed since the same request was built there last.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use crate::commands::build::bases::{self, Incomplete};
use crate::commands::build::job::Job;
use crate::commands::build::request::{self, BuildRequest};
use crate::commands::build::show::{self, Work};
use crate::commands::build::{output, source};
use crate::commands::invocation::Context;
use crate::engine::buildkit::Built;
use crate::engine::buildkit::streams::Pump;
use crate::error::{Error, Kind, Result};
use crate::host::replace::{self, Readers};
use crate::image::build::Options;
use crate::image::digest::Digest;
use crate::image::dockerfile_bases::{Choice, bases, builds_upon_more};
use crate::image::reference;
use crate::regular_file;
use crate::render::images::short;

/// As many builds as are worth remembering.
const REMEMBERED: usize = 1000;
/// As much as they take, in bytes.
const LARGEST: u64 = 1 << 20;

/// The last success of one request on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Success {
    /// The digest of the context, as it was sent.
    context: String,
    /// The IDs of the images that it was built upon, by their names.
    bases: BTreeMap<String, String>,
    image: String,
}

/// The memory of successes by their requests. Losing it costs time at the next build, nothing else.
struct Memory {
    file: Option<PathBuf>,
    known: HashMap<String, Success>,
}

/// Refuses what podman would leave out without a word.
///
/// # Errors
/// The first such flag, by name.
pub(super) fn refuse(request: &BuildRequest, checks: bool) -> Result<()> {
    let options = &request.options;
    let leaves = |output| !output::is_for_the_engine(output);
    let flags = [
        ("--secret", !request.secrets.is_empty()),
        ("--ssh", !request.ssh.is_empty()),
        ("--output", request.outputs.iter().any(leaves)),
        ("--build-context", !options.contexts.is_empty()),
        ("--cache-from", !options.cache_from.is_empty()),
        ("--cache-to", !request.cache_to.is_empty()),
        ("--no-cache-filter", !options.no_cache_filter.is_empty()),
        ("--allow", !options.allowed.is_empty()),
        ("--annotation", !request.annotations.is_empty()),
        (
            "--provenance",
            options.attestations.contains_key("provenance"),
        ),
        ("--sbom", options.attestations.contains_key("sbom")),
        ("--attest", !options.attestations.is_empty()),
        ("several `--platform`", options.platforms.len() > 1),
        ("--push", request.push),
        ("--check", checks),
    ];
    match flags.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => Err(Error::failed(format!(
            "`{flag}` needs BuildKit, and on a node with cri-o podman builds"
        ))
        .hint(
            "this computer's engine may have BuildKit: build there, and `devnet load` the image",
        )),
    }
}

impl Job {
    /// Builds, and gives the image's ID.
    pub(super) async fn by_podman(&self, context: &Context) -> Result<Option<String>> {
        let text = self.source.dockerfile_text();
        let options = &self.request.options;
        let incomplete = match &text {
            Some(text) => bases::complete(text, options, &self.engine, context).await?,
            None => Incomplete::default(),
        };
        let upon = self.upon(text.as_deref()).await?;
        let mut memory = Memory::open(context);
        let asked = self.asked(context)?;
        let all_is_known = text
            .as_deref()
            .is_some_and(|text| !builds_upon_more(text, &options.build_args));
        // a registry, or every step, is asked for anew
        let anew = options.pull || options.no_cache || !all_is_known;
        let last = memory.known.get(&asked).filter(|_| !anew).cloned();
        if let Some(last) = last.filter(|last| last.bases == upon)
            && self.stands(&last.image).await?
            && self.context_digest().await.as_deref() == Some(last.context.as_str())
        {
            context.ui.note(&format!(
                "nothing changed since this was built on {} last: {} stands, and the context is not sent",
                self.node,
                short(&last.image)
            ));
            self.name_again(&last.image).await?;
            let digest = ("containerimage.digest".to_owned(), last.image);
            let built = Built {
                response: [digest].into(),
                ..Built::default()
            };
            return self.told(&built, context).await;
        }
        let (built, sent) = self
            .send(options, context)
            .await
            .map_err(|error| incomplete.explain(error))?;
        let id = self.told(&built, context).await?;
        if let (Some(sent), Some(image), true) = (sent, id.clone(), all_is_known) {
            let success = Success {
                context: sent,
                // those that podman brought itself are known now
                bases: self.upon(text.as_deref()).await?,
                image,
            };
            memory.known.insert(asked, success);
            memory.keep();
        }
        Ok(id)
    }

    /// Has podman build; gives also the digest of the context that it was sent.
    async fn send(&self, options: &Options, context: &Context) -> Result<(Built, Option<String>)> {
        let dockerfile = self.source.dockerfile.as_deref();
        let (pump, filename) = request::classic(&self.source, dockerfile)?;
        let (pump, digest) = hashed(pump);
        let options = Options {
            filename,
            ..options.clone()
        };
        let work = Work::Classic(&options, pump);
        let built = show::run(&self.engine, work, self.progress, dockerfile, context)
            .await?
            .ok_or_else(|| Error::failed("podman built no image"))?;
        Ok((built, digest.await.ok()))
    }

    /// The digest of the context as it would be sent now; `None` where it can't be read.
    async fn context_digest(&self) -> Option<String> {
        let dockerfile = self.source.dockerfile.as_deref();
        let (pump, _) = request::classic(&self.source, dockerfile).ok()?;
        let (pump, digest) = hashed(pump);
        let reading = tokio::task::spawn_blocking(move || pump(&mut io::sink()));
        reading.await.ok()?.ok()?;
        digest.await.ok()
    }

    /// The IDs of the images that a Dockerfile builds upon, as far as the node has them.
    async fn upon(&self, dockerfile: Option<&str>) -> Result<BTreeMap<String, String>> {
        let options = &self.request.options;
        let choice = Choice {
            target: options.target.as_deref(),
            build_args: &options.build_args,
            contexts: &options.contexts,
        };
        let mut upon = BTreeMap::new();
        for name in dockerfile
            .map(|text| bases(text, choice))
            .into_iter()
            .flatten()
        {
            match self.engine.images.image(&name).await {
                Ok(image) => upon.insert(name, image.id),
                Err(error) if error.kind() == Kind::NotFound => continue,
                Err(error) => return Err(error),
            };
        }
        Ok(upon)
    }

    /// The request, told from all others of this computer.
    fn asked(&self, context: &Context) -> Result<String> {
        let failed = |error| Error::failed("the request can't be written").caused_by(error);
        let asked = serde_json::json!({
            "computer": source::computer(context),
            "node": [&self.node, self.engine.node.address()],
            "context": self.source.context,
            "dockerfile": self.source.dockerfile,
            "options": self.request.options,
        });
        let text = serde_json::to_vec(&asked).map_err(failed)?;
        Ok(Digest::of(&text).hex().to_owned())
    }

    /// True where the node still has an image.
    async fn stands(&self, id: &str) -> Result<bool> {
        match self.engine.images.image(id).await {
            Ok(image) => Ok(image.id == id),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives an image those of the request's names that it has no more.
    async fn name_again(&self, id: &str) -> Result<()> {
        for name in &self.request.options.tags {
            let now = self.engine.images.image(name).await;
            if now.is_ok_and(|now| now.id == id) {
                continue;
            }
            let (repository, tag) = reference::split(name)?;
            self.engine.images.tag(id, &repository, &tag).await?;
        }
        Ok(())
    }
}

/// A context that is hashed as it is read, and the digest once that is done.
fn hashed(pump: Pump) -> (Pump, oneshot::Receiver<String>) {
    struct Hashing<'w>(&'w mut dyn Write, Sha256);
    impl Write for Hashing<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.0.write(bytes)?;
            self.1.update(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
    let (tell, digest) = oneshot::channel();
    let hashing = move |to: &mut dyn Write| {
        let mut hashing = Hashing(to, Sha256::new());
        pump(&mut hashing)?;
        let whole = Digest::from_hash(&hashing.1.finalize());
        let _nobody_asks = tell.send(whole.as_str().to_owned());
        Ok(())
    };
    (Box::new(hashing), digest)
}

impl Memory {
    fn open(context: &Context) -> Self {
        let folder = context.settings.cache_folder().ok();
        let file = folder.map(|folder| folder.join("podman-builds.json"));
        let known = file
            .as_deref()
            .and_then(|file| regular_file::bytes(file, LARGEST).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self { file, known }
    }

    fn keep(&self) {
        let Some(file) = &self.file else { return };
        if self.known.len() > REMEMBERED {
            let _none = std::fs::remove_file(file);
            return;
        }
        let (Some(folder), Ok(text)) = (file.parent(), serde_json::to_vec(&self.known)) else {
            return;
        };
        let _full = std::fs::create_dir_all(folder)
            .and_then(|()| replace::replace(file, &text, Readers::Owner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_hashed_as_it_is_sent() {
        let pump: Pump = Box::new(|to: &mut dyn Write| {
            to.write_all(b"a context").unwrap();
            Ok(())
        });
        let (pump, mut digest) = hashed(pump);
        let mut sent = Vec::new();
        pump(&mut sent).unwrap();
        assert_eq!(sent, b"a context");
        assert_eq!(
            digest.try_recv().unwrap(),
            Digest::of(b"a context").as_str()
        );
    }
}
