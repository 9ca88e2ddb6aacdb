//! `devnet build`: caches in folders of this computer (`--cache-from` and `--cache-to type=local`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::commands::invocation::Context;
use crate::context::oci_layout;
use crate::engine::buildkit::content::Store;
use crate::engine::{Engine, ImageStore, Info};
use crate::error::{Error, Result};
use crate::image::build_flags::Attributed;

/// The caches that the engine is told of, and the folders that it may then ask for.
#[derive(Debug, Default)]
pub(super) struct Caches {
    pub(super) from: Vec<Attributed>,
    pub(super) to: Vec<Attributed>,
    pub(super) stores: BTreeMap<String, Store>,
}

/// Looks into the folders; a cache that is not there yet is left out, as docker does.
///
/// # Errors
/// When the engine can't make such a cache; when a folder can't be made.
pub(super) fn find(
    from: &[Attributed],
    to: &[Attributed],
    engine: &Engine,
    info: &Info,
    context: &Context,
) -> Result<Caches> {
    let mut caches = Caches::default();
    let unknown = |cache: &&Attributed| info.store == ImageStore::Graph && cache.kind != "inline";
    if let Some(cache) = to.iter().find(unknown) {
        return Err(Error::failed(format!(
            "the engine at {} can't put a cache into `type={}`",
            engine.node.address(),
            cache.kind
        ))
        .caused_by("with a graph driver's image store BuildKit knows only `type=inline`")
        .hint("its own cache stays in the engine; `--cache-to type=inline` puts it into the image, for a push"));
    }
    for cache in from {
        let mut cache = cache.clone();
        if cache.kind == "local" {
            let folder = cache.attributes.get("src").cloned().unwrap_or_default();
            let tag = cache.attributes.get("tag").map(String::as_str);
            let root = PathBuf::from(&folder);
            let given = cache.attributes.contains_key("digest");
            match oci_layout::digest_of(&root, tag) {
                Some(_) if given => {}
                Some(digest) => {
                    let digest = digest.as_str().to_owned();
                    cache.attributes.insert("digest".to_owned(), digest);
                }
                None => {
                    context.ui.warn(&format!(
                        "`--cache-from type=local,src={folder}` is left out: there is no cache yet"
                    ));
                    continue;
                }
            }
            let store = Store { root, grows: false };
            caches.stores.insert(format!("local:{folder}"), store);
        }
        caches.from.push(cache);
    }
    for cache in to {
        if let Some((folder, root, _)) = local(cache) {
            std::fs::create_dir_all(&root).map_err(|error| {
                Error::failed(format!("`{folder}` can't be written")).caused_by(error)
            })?;
            let store = Store { root, grows: true };
            caches.stores.insert(format!("local:{folder}"), store);
        }
        caches.to.push(cache.clone());
    }
    Ok(caches)
}

/// Has the folders' tags stand for what the engine put there.
pub(super) fn keep(to: &[Attributed], response: &BTreeMap<String, String>) -> Result<()> {
    let descriptor = response
        .get("cache.manifest")
        .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let Some(descriptor) = descriptor else {
        return Ok(());
    };
    for (folder, root, tag) in to.iter().filter_map(local) {
        oci_layout::put_tag(&root, descriptor.clone(), tag).map_err(|error| {
            Error::failed(format!("`{folder}` can't be written")).caused_by(error)
        })?;
    }
    Ok(())
}

fn local(cache: &Attributed) -> Option<(&str, PathBuf, Option<&str>)> {
    if cache.kind != "local" {
        return None;
    }
    let folder = cache.attributes.get("dest")?;
    let tag = cache.attributes.get("tag").map(String::as_str);
    Some((folder, PathBuf::from(folder), tag))
}
