//! Tests of `context.rs`, which would be too long with them.
use super::*;
use std::os::unix::fs::{PermissionsExt as _, symlink};

fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    root
}

fn entries(root: &Path, filter: &Filter) -> Vec<Entry> {
    let mut found = Vec::new();
    walk(root, filter, &mut |entry| {
        found.push(entry);
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

fn paths(root: &Path, filter: &Filter) -> Vec<String> {
    entries(root, filter)
        .into_iter()
        .map(|entry| entry.path)
        .collect()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn entries_come_in_the_order_that_buildkit_demands() {
    let root = folder(&["a/x", "a-b", "a.txt", "B", "a/.h"]);
    assert_eq!(
        paths(root.path(), &Filter::default()),
        ["B", "a", "a/.h", "a/x", "a-b", "a.txt"]
    );
}

#[test]
fn a_folder_is_told_before_the_first_thing_in_it_and_not_at_all_without_one() {
    let root = folder(&["a/b/keep", "a/b/drop", "c/d/drop", "e/drop"]);
    let filter = Filter {
        exclude: strings(&["**", "!**/keep"]),
        ..Filter::default()
    };
    assert_eq!(paths(root.path(), &filter), ["a", "a/b", "a/b/keep"]);
    let filter = Filter {
        include: strings(&["c/d"]),
        ..Filter::default()
    };
    assert_eq!(paths(root.path(), &filter), ["c", "c/d", "c/d/drop"]);
}

#[test]
fn a_hard_link_names_the_first_entry_that_is_really_sent() {
    let root = folder(&["a", "b"]);
    fs::hard_link(root.path().join("a"), root.path().join("c")).unwrap();
    fs::hard_link(root.path().join("a"), root.path().join("d")).unwrap();
    let all = entries(root.path(), &Filter::default());
    let links: Vec<_> = all
        .iter()
        .map(|entry| (entry.link.as_str(), entry.size))
        .collect();
    assert_eq!(links, [("", 1), ("", 1), ("a", 0), ("a", 0)]);
    let filter = Filter {
        exclude: strings(&["a"]),
        ..Filter::default()
    };
    let rest = entries(root.path(), &filter);
    let links: Vec<_> = rest
        .iter()
        .map(|entry| (entry.link.as_str(), entry.size))
        .collect();
    assert_eq!(links, [("", 1), ("", 1), ("c", 0)]);
}

#[test]
fn modes_links_and_sockets_are_what_go_calls_them() {
    let root = folder(&["run"]);
    fs::set_permissions(root.path().join("run"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("run", root.path().join("soft")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("sock")).unwrap();
    let found = entries(root.path(), &Filter::default());
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].mode, mode::SET_UID | 0o755);
    assert!(found[0].has_content());
    assert_eq!(found[1].mode, mode::SYMLINK | 0o777);
    assert_eq!((found[1].link.as_str(), found[1].size), ("run", 3));
    assert!(!found[1].has_content());
}

#[test]
fn a_name_that_is_not_utf8_is_refused_unless_it_is_left_out() {
    use std::os::unix::ffi::OsStrExt as _;
    let root = folder(&["a"]);
    fs::write(
        root.path().join(std::ffi::OsStr::from_bytes(b"\xff.bin")),
        "",
    )
    .unwrap();
    let mut ignore = |_| ControlFlow::Continue(());
    let error = walk(root.path(), &Filter::default(), &mut ignore).unwrap_err();
    assert!(error.to_string().contains("can't be sent"), "{error}");
    let filter = Filter {
        exclude: strings(&["*.bin"]),
        ..Filter::default()
    };
    assert_eq!(paths(root.path(), &filter), ["a"]);
}

#[test]
fn followed_paths_bring_their_symlinks_targets_and_nothing_else() {
    let root = folder(&["real/file", "other", "deep/down/x"]);
    symlink("real", root.path().join("link")).unwrap();
    symlink("/deep/down", root.path().join("absolute")).unwrap();
    let follow = |path: &str| Filter {
        follow: strings(&[path]),
        ..Filter::default()
    };
    assert_eq!(
        paths(root.path(), &follow("link/file")),
        ["link", "real", "real/file"]
    );
    assert_eq!(
        paths(root.path(), &follow("absolute/x")),
        ["absolute", "deep", "deep/down", "deep/down/x"]
    );
    assert_eq!(paths(root.path(), &follow("nothing")), Vec::<String>::new());
    assert_eq!(paths(root.path(), &follow("oth*")), ["other"]);
    assert_eq!(paths(root.path(), &follow("/")).len(), 8);
}
