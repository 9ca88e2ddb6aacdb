//! Pod manifests (`v1/Pod`; `v1/ConfigMap` and `v1/Secret` for their volumes) to pods. What the lab can't do
//! is named with file, line and field before anything starts: refused where it changes what runs,
//! noted where it does not.

mod container;
mod pod;
mod reader;
#[cfg(test)]
mod tests;
mod volume;

use std::collections::BTreeMap;

use self::reader::{At, Reader};
use super::Pod;
use crate::error::{Error, Result};
use crate::yaml::node::{YamlNode, documents};

/// The objects that a set of manifests asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Manifests {
    pub(crate) pods: Vec<Pod>,
    /// Fields that change nothing here, each with its place.
    pub(crate) notes: Vec<String>,
}

/// The kind of object that holds texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    ConfigMap,
    Secret,
}

impl Holder {
    fn kind(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// The texts of `ConfigMap`s and `Secret`s, by namespace and name.
type ConfigMaps = BTreeMap<(Holder, String, String), BTreeMap<String, String>>;

/// Reads manifests; each file is its name and its text.
///
/// # Errors
/// A usage error that lists everything that is wrong, with file, line and field.
pub(crate) fn read(files: &[(String, String)]) -> Result<Manifests> {
    let mut objects = Vec::new();
    for (file, text) in files {
        for node in documents(file, text)? {
            objects.push((file.clone(), node));
        }
    }
    let mut reader = Reader::default();
    let mut pods = Vec::new();
    let mut maps = ConfigMaps::new();
    for (file, node) in &objects {
        sort(&mut reader, At::root(file, node), &mut pods, &mut maps);
    }
    let pods: Vec<Pod> = pods
        .into_iter()
        .map(|at| pod::read(&mut reader, &at, &maps))
        .collect();
    unique(&mut reader, &objects, &pods);
    if pods.is_empty() && reader.refused.is_empty() {
        return Err(Error::usage("no pod stands in the manifests"));
    }
    match reader.refused.as_slice() {
        [] => Ok(Manifests {
            pods,
            notes: reader.notes,
        }),
        [one] => Err(Error::usage(one)),
        many => Err(Error::usage(format!(
            "{} fields of the manifests can't be run\n  {}",
            many.len(),
            many.join("\n  ")
        ))),
    }
}

/// Tells the objects of a document apart by kind.
fn sort<'a>(reader: &mut Reader, at: At<'a>, pods: &mut Vec<At<'a>>, maps: &mut ConfigMaps) {
    // an empty document between two `---`
    if at.is_null() {
        return;
    }
    let Some(fields) = reader.fields(&at) else {
        return;
    };
    let mut text = |name: &str| {
        let field = fields.iter().find(|(key, _)| *key == name)?;
        reader.text(&field.1)
    };
    let (version, kind) = (text("apiVersion"), text("kind"));
    match (version.as_deref(), kind.as_deref()) {
        (Some("v1"), Some("Pod")) => pods.push(at),
        (Some("v1"), Some("ConfigMap")) => volume::keep(reader, &at, Holder::ConfigMap, maps),
        (Some("v1"), Some("Secret")) => {
            reader.note(&at, "whoever may ask the engine can read it there");
            volume::keep(reader, &at, Holder::Secret, maps);
        }
        (Some("v1"), Some("List")) => {
            if let Some((_, items)) = fields.iter().find(|(key, _)| *key == "items") {
                for item in reader.list(items) {
                    sort(reader, item, pods, maps);
                }
            }
        }
        (Some(version), Some(kind)) => reader.refuse(
            &at,
            &format!("the lab runs v1/Pod (with v1/ConfigMap and v1/Secret), not {version}/{kind}"),
        ),
        _ => reader.refuse(
            &at,
            "this is no manifest: it has no `apiVersion` and `kind`",
        ),
    }
}

fn unique(reader: &mut Reader, objects: &[(String, YamlNode)], pods: &[Pod]) {
    for (at, pod) in pods.iter().enumerate() {
        let same = |other: &Pod| other.namespace == pod.namespace && other.name == pod.name;
        if !pod.name.is_empty()
            && pods[..at].iter().any(same)
            && let Some((file, node)) = objects.first()
        {
            let why = format!("two pods are called {}", pod.full_name());
            reader.refuse(&At::root(file, node), &why);
        }
    }
}
