//! Archives that mean harm: none takes more memory than devnet has for it, and what would is refused
//! with the way that works.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::hostile::{MOST_MEMORY, measured_after};
use crate::support::Sandbox;
use crate::support::archive::{Files, Pack, config, digest, gzip, here, layer};
use crate::support::hostile::Hostile;

const NAME: &str = "hostile-file:v1";
const MIB: usize = 1 << 20;
/// The memory that a program takes more when it is not optimized, in KiB: its code is as much
/// larger.
const UNOPTIMIZED: u64 = if cfg!(debug_assertions) { 22 << 10 } else { 0 };

/// Packed with a dictionary that is said to be so large: `(2 | say & 1) << (say / 2 + 11)` bytes.
fn xz(bytes: &[u8], say: u8) -> Vec<u8> {
    let mut options = lzma_rust2::XzOptions::with_preset(0);
    options.lzma_options.dict_size = 1 << 20;
    let mut packed = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    packed.write_all(bytes).unwrap();
    let mut packed = packed.finish().unwrap();
    // the block's header stands behind 12 bytes, and its sum behind zeros
    let said = 12 + packed[12..].iter().position(|byte| *byte == 16).unwrap();
    packed[said] = say;
    let zeros = packed[said + 1..].iter().take_while(|byte| **byte == 0);
    let sum = said + 1 + zeros.count();
    let mut crc = flate2::Crc::new();
    crc.update(&packed[12..sum]);
    packed[sum..sum + 4].copy_from_slice(&crc.sum().to_le_bytes());
    packed
}

const MIB_1: u8 = 16;
const MIB_16: u8 = 24;
const MIB_32: u8 = 26;
const MIB_48: u8 = 27;
const MIB_64: u8 = 28;

/// A frame whose window has so many bits, of blocks that are not packed.
fn zstd(bytes: &[u8], bits: u8) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (bits - 10) << 3];
    for block in bytes.chunks(128 << 10) {
        let head = u32::try_from(block.len() << 3).unwrap().to_le_bytes();
        frame.extend_from_slice(&head[..3]);
        frame.extend_from_slice(block);
    }
    // the last block, which is empty
    frame.extend([1, 0, 0]);
    frame
}

fn one() -> Vec<Vec<u8>> {
    vec![layer(&[("a", b"a")])]
}

/// An archive of docker's old kind with a file of another content.
fn with(path: &str, content: Vec<u8>) -> Vec<u8> {
    let mut files = Files::docker(NAME, &one(), Pack::Plain);
    files.add(path, content);
    files.tar()
}

/// As much JSON as may be in one file, of equal parts.
fn json_of(begin: &str, part: &str, end: &str) -> Vec<u8> {
    let times = (4 * MIB - 4096) / (part.len() + 1);
    format!("{begin}{}{end}", vec![part; times].join(",")).into_bytes()
}

fn configured(more: &str) -> Vec<u8> {
    let said = config(&one(), here()).to_string();
    let begin = format!("{},\"x\":[", said.strip_suffix('}').unwrap());
    let content = json_of(&begin, more, "]}");
    let mut files = Files::docker(NAME, &one(), Pack::Plain);
    let mut manifest: Value = serde_json::from_slice(&files.0.last().unwrap().1).unwrap();
    manifest[0]["Config"] = json!("large");
    files.add("large", content);
    files.add("manifest.json", manifest.to_string());
    files.tar()
}

/// So many files with names so long.
fn many(count: usize, length: usize) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for number in 0..count {
        let path = format!("{number:06}{}", "/n".repeat(length / 2));
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        tar.append_data(&mut header, path, &b"x"[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A thousand images that each have much to say.
fn talkative() -> Vec<u8> {
    let mut files = Files::default();
    let layers = one();
    let mut listed = Vec::new();
    for number in 0..900 {
        let mut said = config(&layers, here());
        said["fill"] = json!(format!("{number}{}", "x".repeat(63_000)));
        let config = files.blob(
            said.to_string().into_bytes(),
            "application/vnd.oci.image.config.v1+json",
        );
        let layers = json!([{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": digest(&layers[0]), "size": layers[0].len(),
        }]);
        let manifest = json!({ "config": config, "layers": layers });
        listed.push(files.blob(
            manifest.to_string().into_bytes(),
            "application/vnd.oci.image.manifest.v1+json",
        ));
    }
    files.blob(layers[0].clone(), "application/vnd.oci.image.layer.v1.tar");
    files.index(&listed);
    files.tar()
}

/// A header that says so many bytes, and none of them.
fn claims(path: &str, size: u64, kind: tar::EntryType) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A size in a pax record.
fn says(size: &str) -> Vec<u8> {
    let rest = format!(" size={size}\n");
    let length = rest.len() + 2;
    let record = format!("{length}{rest}");
    assert_eq!(record.len(), length);
    let mut bytes = claims("pax", length as u64, tar::EntryType::XHeader);
    bytes.extend(record.bytes());
    bytes.resize(1024, 0);
    bytes.extend(claims("0/layer.tar", 0, tar::EntryType::Regular));
    bytes
}

/// A harmful file: its description, the bytes, and the words of the error.
struct Harm(&'static str, Vec<u8>, &'static [&'static str]);

fn harms() -> Vec<Harm> {
    const BREAKS: &[&str] = &["is broken", "it breaks off"];
    let whole = Files::docker(NAME, &one(), Pack::Plain).tar();
    let talkative = talkative();
    let long_names = many(50_000, 90);
    let first = |mut bytes: Vec<u8>| {
        bytes.extend_from_slice(&whole);
        bytes
    };
    let regular = |size| claims("0/layer.tar", size, tar::EntryType::Regular);
    let large = "x".repeat(4 * MIB - 4096);
    let long_name = Files::docker(&large, &one(), Pack::Plain).tar();
    let held = {
        let mut files = Files::default();
        for number in 0..40 {
            files.add(&number.to_string(), format!("{{{}", " ".repeat(MIB)));
        }
        files.0.extend(Files::docker(NAME, &one(), Pack::Plain).0);
        files.tar()
    };
    vec![
        Harm("a header of 8 GiB", first(regular(8 << 30)), BREAKS),
        Harm("a header of 8 GiB, alone", regular(8 << 30), BREAKS),
        Harm("one packed", gzip(&first(regular(8 << 30))), BREAKS),
        Harm(
            "one of a list",
            first(claims("index.json", 8 << 30, tar::EntryType::Regular)),
            BREAKS,
        ),
        Harm(
            "one of 2^64 bytes",
            first(regular(u64::MAX)),
            &["larger than any disk"],
        ),
        Harm("8 GiB in a record", first(says("8589934592")), BREAKS),
        Harm(
            "2^64 in a record",
            first(says("18446744073709551615")),
            &["larger than any disk"],
        ),
        Harm(
            "more than can be counted",
            first(says("99999999999999999999")),
            &["without a size"],
        ),
        Harm(
            "a file with holes",
            first(claims("0/layer.tar", 1, tar::EntryType::GNUSparse)),
            &["kept with holes"],
        ),
        Harm(
            "a long name of 8 GiB",
            claims("././@LongLink", 8 << 30, tar::EntryType::GNULongName),
            &["a name of over 1 MB"],
        ),
        Harm(
            "many names",
            many(90_000, 6),
            &[
                "the list of its files takes more than 12 MB",
                "docker export",
            ],
        ),
        Harm(
            "long names",
            long_names.clone(),
            &["the list of its files takes more than 12 MB"],
        ),
        Harm(
            "long names, packed",
            gzip(&long_names),
            &["the list of its files takes more than 12 MB"],
        ),
        Harm(
            "a manifest of objects",
            with("manifest.json", json_of("[", "{}", "]")),
            &["more values than devnet reads"],
        ),
        Harm(
            "a manifest of numbers",
            with("manifest.json", json_of("[", "0", "]")),
            &["more values than devnet reads"],
        ),
        Harm(
            "an index of keys",
            with("index.json", json_of("{", "\"a\":0", "}")),
            &["more values than devnet reads"],
        ),
        Harm(
            "an index of objects, packed",
            gzip(&with("index.json", json_of("{\"manifests\":[", "{}", "]}"))),
            &["more values than devnet reads"],
        ),
        Harm(
            "a name of 4 MB",
            long_name,
            &["is no name for an image: it is too long"],
        ),
        Harm(
            "a configuration of objects",
            configured("{\"a\":0}"),
            &["more values than devnet reads"],
        ),
        Harm(
            "a configuration of lists",
            configured("[]"),
            &["more values than devnet reads"],
        ),
        Harm("much to hold", gzip(&held), &[]),
        Harm("images that say much", talkative.clone(), &["is broken"]),
        Harm(
            "images that say much, packed",
            gzip(&talkative),
            &["or there is too much of it"],
        ),
    ]
}

/// A node that has nothing, and takes nothing.
fn node(sandbox: &Sandbox) -> Hostile {
    Hostile::start(sandbox.home(), |_, _| None)
}

#[test]
fn no_archive_takes_more_memory_than_devnet_has_for_it() {
    let mut table = Vec::new();
    for Harm(what, bytes, words) in harms() {
        for pipe in [false, true] {
            let sandbox = Sandbox::bare();
            let url = node(&sandbox).url();
            std::fs::write(sandbox.home().join("it"), &bytes).unwrap();
            let (before, from) = if pipe {
                ("cat it |", "-")
            } else {
                ("", "./it")
            };
            let (output, peak) = measured_after(&sandbox, before, &url, &["load", from]);
            table.push(format!("{peak} KiB, exit {}: {what} ({from})", output.code));
            assert_ne!(output.code, 0, "{what}: {output}");
            let said = words.iter().all(|word| output.stderr.contains(word));
            assert!(
                said && !output.stderr.contains("panicked"),
                "{what}: {output}"
            );
            assert!(output.stderr.len() < 2000, "{what}: {output}");
            assert!(peak <= MOST_MEMORY, "{}", table.join("\n"));
        }
    }
    // shown with `--nocapture`
    println!("{}", table.join("\n"));
}

#[test]
fn the_widest_window_fits_and_a_wider_one_is_refused_before_anything_is_sent() {
    // zeros fill a window as well as anything
    let layers = vec![layer(&[("zeros", &vec![0; 40 * MIB])])];
    let image = Files::docker(NAME, &layers, Pack::Plain).tar();
    let peak = |bytes: &[u8], pipe: bool| {
        let sandbox = Sandbox::bare();
        let url = node(&sandbox).url();
        std::fs::write(sandbox.home().join("it"), bytes).unwrap();
        let (before, from) = if pipe {
            ("cat it |", "-")
        } else {
            ("", "./it")
        };
        // nothing is sent to a node that can't be seen to lack it: only read
        let (output, peak) = measured_after(&sandbox, before, &url, &["load", from, "--dry-run"]);
        output.ok();
        peak
    };
    for pipe in [false, true] {
        let unpacked = peak(&gzip(&image), pipe);
        for (what, packed) in [("xz", xz(&image, MIB_32)), ("zstd", zstd(&image, 25))] {
            let packed = peak(&packed, pipe);
            println!("{what}, pipe {pipe}: {packed} KiB, {unpacked} KiB without");
            let most = MOST_MEMORY + UNOPTIMIZED;
            assert!(
                packed <= most,
                "{what}: {packed} KiB, {unpacked} KiB without"
            );
        }
    }
    let image = Files::docker(NAME, &one(), Pack::Plain).tar();
    for (packed, said, hint) in [
        (
            xz(&image, MIB_64),
            "its xz dictionary is larger than 32 MB",
            "xz -dc",
        ),
        (
            xz(&image, MIB_48),
            "its xz dictionary is larger than 32 MB",
            "xz -dc",
        ),
        (
            zstd(&image, 26),
            "its zstd window is larger than 32 MB",
            "zstd --long=31 -dc",
        ),
        (
            zstd(&image, 31),
            "its zstd window is larger than 32 MB",
            "zstd --long=31 -dc",
        ),
    ] {
        let sandbox = Sandbox::bare();
        let url = node(&sandbox).url();
        std::fs::write(sandbox.home().join("it"), &packed).unwrap();
        let output = sandbox.devnet(&["-H", &url, "load", "./it"]);
        let stderr = output.fails(1);
        let hint_of_a_file = format!("hint: `{hint} ./it | devnet load -`");
        assert!(
            stderr.contains(said) && stderr.contains(&hint_of_a_file),
            "{stderr}"
        );
        let (output, _) = measured_after(&sandbox, "cat it |", &url, &["load", "-"]);
        let hint_of_a_pipe = format!("hint: `… | {hint} | devnet load -`");
        let stderr = output.fails(1);
        assert!(
            stderr.contains(said) && stderr.contains(&hint_of_a_pipe),
            "{stderr}"
        );
    }
    // a layer that is packed so, alone and in an archive that takes room itself
    for (layer, packed) in [
        (xz(&layers[0], MIB_64), false),
        (xz(&layers[0], MIB_16), true),
    ] {
        let mut files = Files::docker(NAME, &layers, Pack::Plain);
        files.0[0].1 = layer;
        let bytes = files.tar();
        let bytes = if packed { xz(&bytes, MIB_1) } else { bytes };
        let sandbox = Sandbox::bare();
        let url = node(&sandbox).url();
        std::fs::write(sandbox.home().join("it"), bytes).unwrap();
        let (output, peak) = measured_after(&sandbox, "cat it |", &url, &["load", "-"]);
        let stderr = output.fails(1);
        assert!(stderr.contains("xz dictionary is larger than"), "{stderr}");
        assert!(stderr.contains("`docker load` it"), "{stderr}");
        assert!(peak <= MOST_MEMORY, "{peak}");
    }
}
