//! The house rules for comments, read from the source: the first line of a file, and how a doc comment
//! begins.

use crate::support::source;

#[test]
fn every_file_says_what_it_is_for_in_its_first_line() {
    for (name, text) in source::files() {
        assert!(
            text.starts_with("//! "),
            "src/{name} does not begin with `//! `"
        );
    }
}

/// The doc comments of a text whose first line begins with a question word, each as `LINE: TEXT`.
fn questions(text: &str) -> Vec<String> {
    let words = [
        "What", "Who", "Whose", "Whom", "Where", "How", "Which", "Whether", "Why", "When",
    ];
    source::doc_openings(text)
        .filter(|(_, first)| {
            let word = first.split(|c: char| !c.is_alphabetic()).next();
            word.is_some_and(|word| words.contains(&word))
        })
        .map(|(line, first)| format!("{line}: {first}"))
        .collect()
}

#[test]
fn a_doc_comment_begins_with_a_statement_of_what_the_thing_is() {
    let mut read = 0;
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        for (name, text) in source::files_under(folder) {
            read += source::doc_openings(&text).count();
            let here = questions(&text);
            found.extend(here.iter().map(|one| format!("{folder}/{name}:{one}")));
        }
    }
    assert!(read > 2000, "the comments are not where this test looks");
    assert!(
        found.is_empty(),
        "doc comments that begin with a question instead of a statement:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_doc_comment_that_begins_with_a_question_is_found() {
    let text = [
        "//! What a file holds.",
        "",
        "/// A thing.",
        "/// When it is full.",
        "struct A {",
        "    /// Whether it is full.",
        "    full: bool,",
        "    // How it grows.",
        "    /// Whichever came last.",
        "    last: u8,",
        "}",
        "//! A module.",
        "/// Why's that?",
        "fn f() {}",
    ]
    .join("\n");
    assert_eq!(
        questions(&text),
        [
            "1: What a file holds.",
            "6: Whether it is full.",
            "13: Why's that?"
        ]
    );
}
