//! Unpacking over older results, hostile archives, and what breaks off.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};

use super::*;

/// A kind, a path, and a content or target.
type Made<'t> = (tar::EntryType, &'t str, &'t str);

/// An archive of entries.
fn archive(entries: &[Made<'_>]) -> Vec<u8> {
    let gnu = |header: &mut tar::Header, path: &str, link: &str| {
        let fields = header.as_gnu_mut().expect("it was made so");
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
    };
    let mut bytes = Vec::new();
    for (kind, path, content) in entries {
        let mut header = tar::Header::new_gnu();
        let is_link = kind.is_symlink() || kind.is_hard_link();
        // as it is, also what a builder would refuse
        gnu(&mut header, path, if is_link { content } else { "" });
        header.set_entry_type(*kind);
        header.set_mode(if kind.is_dir() { 0o555 } else { 0o4751 });
        header.set_mtime(1_000_000);
        let numbers = [header.set_device_major(1), header.set_device_minor(3)];
        assert!(numbers.iter().all(Result::is_ok));
        let content = if is_link { "" } else { content };
        header.set_size(content.len() as u64);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn unpack(folder: &Path, tar: &[u8]) -> io::Result<()> {
    Unpacking::default().sink(folder)(&mut &*tar)
}

const FILE: tar::EntryType = tar::EntryType::Regular;
const FOLDER: tar::EntryType = tar::EntryType::Directory;
const LINK: tar::EntryType = tar::EntryType::Symlink;
const HARD: tar::EntryType = tar::EntryType::Link;
const PIPE: tar::EntryType = tar::EntryType::Fifo;
const DEVICE: tar::EntryType = tar::EntryType::Char;

#[test]
fn a_path_that_changed_its_kind_is_what_the_new_result_says() {
    let shapes: [(&str, &[Made<'_>]); 4] = [
        ("file", &[(FILE, "x", "text")]),
        ("folder", &[(FOLDER, "x/", ""), (FILE, "x/in", "text")]),
        ("link", &[(LINK, "x", "elsewhere")]),
        ("pipe", &[(PIPE, "x", "")]),
    ];
    for (before, old) in &shapes {
        for (after, new) in &shapes {
            let home = tempfile::tempdir().unwrap();
            let out = home.path().join("out");
            for folder in ["out/elsewhere", "outside"] {
                fs::create_dir_all(home.path().join(folder)).unwrap();
            }
            fs::write(out.join("elsewhere/kept"), "kept").unwrap();
            unpack(&out, &archive(old)).unwrap();
            unpack(&out, &archive(new)).unwrap();
            let facts = fs::symlink_metadata(out.join("x")).unwrap();
            let is = match facts.file_type() {
                kind if kind.is_file() => "file",
                kind if kind.is_dir() => "folder",
                kind if kind.is_symlink() => "link",
                _ => "pipe",
            };
            assert_eq!(is, *after, "{before} became {after}");
            // what an older link led to is not the result's
            let kept: Vec<_> = fs::read_dir(out.join("elsewhere")).unwrap().collect();
            assert_eq!(kept.len(), 1, "{before} became {after}");
        }
    }
}

#[test]
fn modes_times_links_pipes_and_devices_are_those_of_the_result() {
    let home = tempfile::tempdir().unwrap();
    let tar = archive(&[
        (FOLDER, "./d/", ""),
        (FILE, "./d/file", "text"),
        (HARD, "d/hard", "d/file"),
        (PIPE, "d/pipe", ""),
        (LINK, "d/link", "../../../outside"),
    ]);
    // twice: the folder is read-only by then
    for _ in 0..2 {
        unpack(home.path(), &tar).unwrap();
    }
    let facts = |name: &str| fs::symlink_metadata(home.path().join(name)).unwrap();
    assert_eq!(facts("d").permissions().mode() & 0o7777, 0o555);
    assert_eq!(facts("d/file").permissions().mode() & 0o7777, 0o4751);
    assert_eq!(facts("d/file").ino(), facts("d/hard").ino());
    assert!(facts("d/pipe").file_type().is_fifo());
    for name in ["d", "d/file", "d/pipe", "d/link"] {
        assert_eq!(facts(name).mtime(), 1_000_000, "{name}");
    }
    if rustix::process::geteuid().is_root() {
        let device = archive(&[(DEVICE, "null", "")]);
        for _ in 0..2 {
            unpack(home.path(), &device).unwrap();
        }
        let null = facts("null");
        assert!(null.file_type().is_char_device());
        assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
        let error = unpack(home.path(), &archive(&[(FILE, "null", "text")])).unwrap_err();
        assert!(
            error.to_string().contains("a device is in its place"),
            "{error}"
        );
    }
}

#[test]
fn nothing_leads_out_of_the_folder() {
    let home = tempfile::tempdir().unwrap();
    let (out, outside) = (home.path().join("out"), home.path().join("outside"));
    for folder in [&out, &outside] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(outside.join("secret"), "secret").unwrap();
    symlink(&outside, out.join("old")).unwrap();
    for hostile in [
        archive(&[(FILE, "../outside/x", "x")]),
        archive(&[(FILE, "a/../../outside/x", "x")]),
        archive(&[(LINK, "l", "../outside"), (HARD, "h", "l/secret")]),
        archive(&[(HARD, "h", "../outside/secret")]),
    ] {
        assert!(unpack(&out, &hostile).is_err());
    }
    let through = archive(&[
        (LINK, "l", "../outside"),
        (FILE, "l/x", "x"),
        (FILE, "old/y", "y"),
        (FILE, "/rooted", "z"),
    ]);
    unpack(&out, &through).unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert!(
        out.join("l/x").is_file() && out.join("old/y").is_file() && out.join("rooted").is_file()
    );
}

#[test]
fn what_breaks_off_or_does_not_come_is_an_error_and_half_a_file_goes() {
    let home = tempfile::tempdir().unwrap();
    assert!(unpack(home.path(), &[]).is_err());
    let whole = archive(&[(FILE, "first", "text"), (FILE, "second", &"x".repeat(5000))]);
    assert!(unpack(home.path(), &whole[..3000]).is_err());
    assert!(home.path().join("first").is_file());
    assert!(!home.path().join("second").exists());
    // an empty result is one
    unpack(home.path(), &[0; 1024]).unwrap();
    // who is not waited for any more writes nothing more
    let unpacking = Unpacking::default();
    let run = unpacking.sink(home.path());
    drop(unpacking);
    assert!(run(&mut &*archive(&[(FILE, "late", "text")])).is_err());
    assert!(!home.path().join("late").exists());
}
