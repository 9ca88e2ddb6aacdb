//! A pod's volumes, and the `ConfigMap`s and `Secret`s from which some are filled.

use std::collections::BTreeMap;

use super::reader::{At, Reader};
use super::{ConfigMaps, Holder};
use crate::lab::{Volume, VolumeSource, quantity};

pub(super) fn read(
    reader: &mut Reader,
    at: &At<'_>,
    namespace: &str,
    maps: &ConfigMaps,
) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    for item in reader.list(at) {
        let (mut name, mut source) = (None, None);
        for (field, at) in reader.fields(&item).unwrap_or_default() {
            match field {
                "configMap" => {
                    source = Some(files(reader, &at, Holder::ConfigMap, namespace, maps));
                }
                "secret" => {
                    source = Some(files(reader, &at, Holder::Secret, namespace, maps));
                }
                "emptyDir" => source = Some(empty(reader, &at)),
                "hostPath" => source = Some(host(reader, &at)),
                "name" => name = reader.name(&at, false),
                _ => {
                    reader.refuse(
                        &at,
                        "the lab has emptyDir, hostPath, configMap and secret volumes",
                    );
                    source = Some(VolumeSource::Scratch);
                }
            }
        }
        let Some(name) = name else {
            reader.refuse(&item, "a volume has a `name`");
            continue;
        };
        if volumes.iter().any(|volume| volume.name == name) {
            reader.refuse(&item, &format!("two volumes are called `{name}`"));
        }
        volumes.push(Volume {
            name,
            // a volume that says nothing is an emptyDir in Kubernetes
            source: source.unwrap_or(VolumeSource::Scratch),
        });
    }
    volumes
}

fn empty(reader: &mut Reader, at: &At<'_>) -> VolumeSource {
    let (mut memory, mut limit) = (false, None);
    for (name, at) in reader.fields(at).unwrap_or_default() {
        match name {
            "medium" => match reader.text(&at).as_deref() {
                Some("Memory") => memory = true,
                Some("") | None => {}
                Some(_) => reader.refuse(&at, "Memory is expected here"),
            },
            "sizeLimit" => {
                limit = reader.scalar(&at).and_then(|text| quantity::whole(&text));
                if limit.is_none() {
                    reader.refuse(&at, "this is no quantity, as 64Mi is");
                }
            }
            _ => reader.unknown(&at),
        }
    }
    if memory {
        VolumeSource::Memory(limit)
    } else {
        if limit.is_some() {
            reader.note(
                at,
                "the engine has no limit for the size of a volume on disk",
            );
        }
        VolumeSource::Scratch
    }
}

fn host(reader: &mut Reader, at: &At<'_>) -> VolumeSource {
    let mut path = None;
    for (name, at) in reader.fields(at).unwrap_or_default() {
        match name {
            "path" => {
                path = reader.text(&at);
                if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
                    reader.refuse(&at, "a path from `/` is expected here");
                }
            }
            "type" => reader.note(&at, "not checked here"),
            _ => reader.unknown(&at),
        }
    }
    if path.is_none() {
        reader.refuse(at, "a hostPath has a `path`");
    }
    VolumeSource::Host(path.unwrap_or_default())
}

fn files(
    reader: &mut Reader,
    at: &At<'_>,
    holder: Holder,
    namespace: &str,
    maps: &ConfigMaps,
) -> VolumeSource {
    let mut mode = 0o644;
    let mut items: Option<Vec<(String, String, Option<u32>)>> = None;
    for (name, at) in reader.fields(at).unwrap_or_default() {
        match name {
            "defaultMode" => mode = permissions(reader, &at).unwrap_or(mode),
            "items" => {
                let list = reader.list(&at);
                items = Some(list.iter().filter_map(|at| item(reader, at)).collect());
            }
            "name" | "secretName" | "optional" => {}
            _ => reader.unknown(&at),
        }
    }
    let Some(map) = named(reader, at, holder, namespace, maps) else {
        return VolumeSource::Files(Vec::new());
    };
    let files = match items {
        None => map
            .iter()
            .map(|(key, text)| (key.clone(), text.clone(), mode))
            .collect(),
        Some(items) => items
            .into_iter()
            .filter_map(|(key, path, own)| {
                let Some(text) = map.get(&key) else {
                    reader.refuse(at, &format!("the {} has no key `{key}`", holder.kind()));
                    return None;
                };
                Some((path, text.clone(), own.unwrap_or(mode)))
            })
            .collect(),
    };
    VolumeSource::Files(files)
}

fn item(reader: &mut Reader, at: &At<'_>) -> Option<(String, String, Option<u32>)> {
    let (mut key, mut path, mut mode) = (None, None, None);
    for (name, at) in reader.fields(at)? {
        match name {
            "key" => key = reader.text(&at),
            "mode" => mode = permissions(reader, &at),
            "path" => {
                path = reader.text(&at);
                let inside = |path: &String| {
                    !path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | ".."))
                };
                if !path.as_ref().is_some_and(inside) {
                    reader.refuse(&at, "a path inside the volume is expected here");
                    return None;
                }
            }
            _ => reader.unknown(&at),
        }
    }
    if key.is_none() || path.is_none() {
        reader.refuse(at, "an item has a `key` and a `path`");
    }
    Some((key?, path?, mode))
}

fn permissions(reader: &mut Reader, at: &At<'_>) -> Option<u32> {
    reader
        .number(at, 0, 0o777)
        .and_then(|mode| u32::try_from(mode).ok())
}

/// The map that a `{name, optional}` refers to.
pub(super) fn reference<'m>(
    reader: &mut Reader,
    at: &At<'_>,
    holder: Holder,
    namespace: &str,
    maps: &'m ConfigMaps,
) -> Option<&'m BTreeMap<String, String>> {
    for (name, at) in reader.fields(at)? {
        if !matches!(name, "name" | "optional") {
            reader.unknown(&at);
        }
    }
    named(reader, at, holder, namespace, maps)
}

fn named<'m>(
    reader: &mut Reader,
    at: &At<'_>,
    holder: Holder,
    namespace: &str,
    maps: &'m ConfigMaps,
) -> Option<&'m BTreeMap<String, String>> {
    let fields = reader.fields(at)?;
    let find = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted);
    let optional = find("optional").is_some_and(|(_, at)| reader.boolean(at) == Some(true));
    // a volume says `secretName` where a variable says `name`
    let Some((_, at)) = find("name").or_else(|| find("secretName")) else {
        reader.refuse(at, &format!("a {} is named here", holder.kind()));
        return None;
    };
    let name = reader.text(at)?;
    let map = maps.get(&(holder, namespace.to_owned(), name.clone()));
    if map.is_none() && !optional {
        let kind = holder.kind();
        let why = format!("no {kind} `{name}` in namespace {namespace} of these files");
        reader.refuse(at, &why);
    }
    map
}

/// Keeps a `v1/ConfigMap` or `v1/Secret`.
pub(super) fn keep(reader: &mut Reader, at: &At<'_>, holder: Holder, maps: &mut ConfigMaps) {
    let (mut namespace, mut own_name) = ("default".to_owned(), None);
    let mut data = BTreeMap::new();
    let mut plain = BTreeMap::new();
    for (field, at) in reader.fields(at).unwrap_or_default() {
        match field {
            "apiVersion" | "immutable" | "kind" => {}
            "binaryData" => reader.refuse(&at, "the lab takes text only"),
            "stringData" if holder == Holder::Secret => {
                plain.extend(reader.text_map(&at));
            }
            "type" if holder == Holder::Secret => {}
            "data" => {
                for (key, text) in reader.text_map(&at) {
                    let text = match holder {
                        Holder::ConfigMap => text,
                        Holder::Secret => decode(reader, &at, &key, &text),
                    };
                    let fits = !key.is_empty()
                        && !matches!(&*key, "." | "..")
                        && key
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
                    if !fits {
                        reader.refuse(&at, &format!("`{key}` is no key: letters, digits, - _ ."));
                    }
                    data.insert(key, text);
                }
            }
            "metadata" => {
                for (name, at) in reader.fields(&at).unwrap_or_default() {
                    match name {
                        "name" => own_name = reader.name(&at, true),
                        "namespace" => {
                            if let Some(name) = reader.name(&at, false) {
                                namespace = name;
                            }
                        }
                        _ => {}
                    }
                }
            }
            _ => reader.unknown(&at),
        }
    }
    data.extend(plain);
    match own_name {
        Some(name) => {
            maps.insert((holder, namespace, name), data);
        }
        None => reader.refuse(at, &format!("the {} has no `name`", holder.kind())),
    }
}

/// A secret's base64, as text.
fn decode(reader: &mut Reader, at: &At<'_>, key: &str, text: &str) -> String {
    use base64::Engine as _;

    let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(packed);
    let decoded = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if decoded.is_none() {
        reader.refuse(at, &format!("`{key}` is not the base64 of a text"));
    }
    decoded.unwrap_or_default()
}
