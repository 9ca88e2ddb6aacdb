//! Tests of `ignore.rs`, which would be too long with them.
use super::*;

#[test]
fn each_pattern_covers_what_moby_says_it_covers() {
    // pattern, path, covered: the cases that moby's own documentation and tests describe
    let table = [
        ("**", "file", true),
        ("**", "file/", true),
        ("**/", "file", true),
        ("**/", "a/b/c", true),
        ("**", "dir/file", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/dir2/file", true),
        ("dir/**", "dir", false),
        ("**/dir", "dir", true),
        ("**/dir", "dir/file", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/*", "dir/dir2/dir2/file", true),
        ("**/dir2/**", "dir/dir2/dir2/file", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**/file", "dir/file", true),
        ("**file", "dir/dir/file", true),
        ("**/file*", "dir/dir/file.txt", true),
        ("**/file*txt", "dir/dir/file.txt", true),
        ("**/file*.txt*", "dir/dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("**/**/*.txt2", "dir/dir/file.txt", false),
        ("**/*.txt", "file.txt", true),
        ("**/**/*.txt", "file.txt", true),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/dir/file.txt", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt", "a/file.txt", true),
        ("a/*.txt**", "a/file.txt", true),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[b-d]e", "aae", false),
        ("a[^b-d]e", "aze", true),
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcdef", false),
        ("abc.def", "abc.def", true),
        ("abc.def", "abcZdef", false),
        ("abc?def", "abcZdef", true),
        ("abc?def", "abcdef", false),
        ("a\\\\", "a\\", true),
        ("**/foo/bar", "foo/bar", true),
        ("**/foo/bar", "dir/foo/bar", true),
        ("abc/**", "abc", false),
        ("abc/**", "abc/def", true),
        ("abc/**", "abc/def/ghi", true),
        ("**/.foo", ".foo", true),
        ("**/.foo", "bar.foo", false),
        ("./bar", "bar", true),
        ("bar/../baz", "baz", true),
        ("a(b)c/def", "a(b)c/def", true),
        ("a(b)c/def", "a(b)c/xyz", false),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        ("*/*/x", "a/b/x", true),
        ("*/x", "a/b/x", false),
        ("*.md", "docs/README.md", false),
        ("doc?", "docs/README.md", true),
        ("\\*", "*", true),
        ("\\*", "x", false),
        ("[a\\]b]x", "]x", true),
        ("dist", "distribution", false),
        ("ä*", "äöü", true),
        ("a*", "ab/c", true),
        ("a*/b", "abc/b", true),
        ("a*/b", "a/c/b", false),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("ab[c]", "abc", true),
        ("ab[e-g]", "abc", false),
        ("ab[^c]", "abc", false),
        ("ab[^e-g]", "abc", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "ab", false),
        ("a?b", "a☺b", true),
        ("a[^a]b", "a☺b", true),
        ("a???b", "a☺b", false),
        ("[a-ζ]*", "α", true),
        ("*[a-ζ]", "A", false),
        ("a?b", "a/b", false),
        ("a*b", "a/b", false),
        ("[\\-]", "-", true),
        ("[x\\-]", "z", false),
        ("[\\-x]", "-", true),
        ("[\\-x]", "a", false),
        ("*x", "xxx", true),
        (
            "dist/*.whl",
            "dist/p-2.4.0rc3.dev36+g08a-py3-none-any.whl",
            true,
        ),
    ];
    for (pattern, path, covered) in table {
        let matcher = Matcher::new(&[pattern]).unwrap();
        assert_eq!(matcher.covers(path), covered, "{pattern} on {path}");
    }
}

#[test]
fn the_last_pattern_that_matches_wins() {
    let table: [(&[&str], &str, bool); 9] = [
        (&["*.md", "!README.md"], "README.md", false),
        (
            &["*.md", "!README*.md", "README-secret.md"],
            "README-secret.md",
            true,
        ),
        (&["!README.md", "*.md"], "README.md", true),
        (&["**", "!**/*.rs"], "src/a/b.rs", false),
        (&["**", "!**/*.rs"], "src/a/b.txt", true),
        (&["docs", "!docs/keep"], "docs/keep/me", false),
        (&["docs", "!docs/keep"], "docs/drop", true),
        (
            &["docs", "!docs/keep", "docs/keep/not"],
            "docs/keep/not/x",
            true,
        ),
        (&["*", "!a"], "a/b", false),
    ];
    for (patterns, path, covered) in table {
        let matcher = Matcher::new(patterns).unwrap();
        assert_eq!(matcher.covers(path), covered, "{patterns:?} on {path}");
    }
}

#[test]
fn a_walk_that_hands_matches_down_agrees_with_asking_for_each_path_alone() {
    let patterns = ["a/*", "!a/b/**", "a/b/c", "**/x", "!a/b/c/y"];
    let matcher = Matcher::new(&patterns).unwrap();
    for path in [
        "a",
        "a/b",
        "a/b/c",
        "a/b/c/y",
        "a/b/d/x/z",
        "a/q/x",
        "x/y",
        "b",
    ] {
        let mut folder: Option<Matched> = None;
        let mut ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        ends.push(path.len());
        let mut covered = false;
        for end in ends {
            let (hit, matched) = matcher.matches(&path[..end], folder.as_ref());
            covered = hit;
            folder = Some(matched);
        }
        assert_eq!(covered, matcher.covers(path), "{path}");
    }
}

#[test]
fn a_malformed_pattern_is_named() {
    for bad in [
        "!", "[", "a[", "[a-", "[-x]", "[]a]", "x\\", "[-]", "[x-]", "[a-b-c]", "[^", "[^bc",
    ] {
        assert_eq!(Matcher::new(&[bad]).unwrap_err(), BadPattern(bad.into()));
    }
}

#[test]
fn an_excluded_folder_is_entered_only_when_something_in_it_may_be_taken_back() {
    let matcher = Matcher::new(&["node_modules", "docs", "!docs/api/*.md"]).unwrap();
    assert!(matcher.may_take_back_below("docs"));
    let matcher = Matcher::new(&["node_modules", "docs", "!docs/api"]).unwrap();
    assert!(matcher.may_take_back_below("docs"));
    assert!(!matcher.may_take_back_below("node_modules"));
    let matcher = Matcher::new(&["src/a", "src/b/**"]).unwrap();
    assert!(matcher.may_cover_below("src"));
    assert!(!matcher.may_cover_below("target"));
}

#[test]
fn a_dockerignore_file_is_read_as_docker_reads_it() {
    let text = "\u{feff}# comment\n\n /abs \n!  /back/ \n #no comment\na//b/./c/\n!\n/\n";
    assert_eq!(
        lines(text),
        ["abs", "!back", "#no comment", "a/b/c", "!", "/"]
    );
}

#[test]
fn a_pattern_full_of_stars_ends_soon() {
    let matcher = Matcher::new(&[&"*a".repeat(200)]).unwrap();
    assert!(!matcher.covers(&"a".repeat(190)));
    assert!(matcher.covers(&"a".repeat(240)));
}
