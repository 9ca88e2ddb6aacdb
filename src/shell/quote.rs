//! Quoting, one function for each way that shells read a word.

use std::fmt::Write as _;

/// Bytes that mean only themselves in every POSIX shell, also after an unquoted `$(...)`. Not `=`:
/// at the beginning of a value zsh takes it for the path of a program.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_@+:,./-".contains(&byte)
}

/// A word for bash, zsh and ksh. What is not plain is written in octal, so that no blank and no
/// glob character is left for `eval $(devnet env)` to split or expand.
pub(super) fn ansi_c(value: &str) -> String {
    if !value.is_empty() && value.bytes().all(is_plain) {
        return value.into();
    }
    format!("$'{}'", octal(value, "\\"))
}

/// A statement for shells that know only POSIX. `printf %b` reads octal as `\0ooo`; the dot keeps
/// line ends at the end of a value from being cut off.
pub(super) fn posix_export(name: &str, value: &str) -> String {
    if value.bytes().all(is_plain) {
        return format!("export {name}={value};");
    }
    format!(
        "{name}=\"$(printf %b '{}.')\"; {name}=\"${{{name}%.}}\"; export {name};",
        octal(value, "\\0")
    )
}

fn octal(value: &str, escape: &str) -> String {
    value
        .bytes()
        .map(|byte| {
            if is_plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("{escape}{byte:03o}")
            }
        })
        .collect()
}

/// fish: in single quotes only the quote and the backslash are special. A line end stands outside of
/// them as `\n`, since `eval (devnet env)` splits what is printed at line ends.
pub(super) fn fish(value: &str) -> String {
    let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{}'", quoted.replace('\n', "'\\n'"))
}

/// PowerShell: every kind of single quote ends a string and is doubled inside it; line ends are
/// joined on, since a pipe hands `Invoke-Expression` one line at a time.
pub(super) fn powershell(value: &str) -> String {
    let mut text = String::from("'");
    for c in value.chars() {
        match c {
            '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' => {
                text.push(c);
                text.push(c);
            }
            '\n' => text += "' + [char]10 + '",
            '\r' => text += "' + [char]13 + '",
            c => text.push(c),
        }
    }
    text.push('\'');
    text
}

/// csh and tcsh: a backslash before each special character and never a quote round several, so that
/// "eval `devnet env`" without quotes can split at blanks and put the words together again. What
/// such an `eval` would expand (globs, braces) or make a blank of (a tab) comes out of a `printf`;
/// so does a character with the byte 0xa0 in it: beside a backslash csh 20110502 never ends on one.
pub(super) fn csh(value: &str) -> String {
    if value.is_empty() {
        return "''".into();
    }
    let mut text = String::new();
    let mut printed = String::new();
    let mut utf8 = [0; 4];
    let print = |text: &mut String, printed: &mut String| {
        if !printed.is_empty() {
            let _infallible = write!(text, "\"`printf {printed}`\"");
            printed.clear();
        }
    };
    for c in value.chars() {
        let bytes = c.encode_utf8(&mut utf8).as_bytes();
        if c.is_ascii_control() || "*?[]{}".contains(c) || bytes.contains(&0xa0) {
            for byte in bytes {
                let _infallible = write!(printed, "\\\\{byte:03o}");
            }
            continue;
        }
        print(&mut text, &mut printed);
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !"_@+:,./-".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    print(&mut text, &mut printed);
    text
}

/// elvish: a single quote is doubled.
pub(super) fn elvish(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// Double quotes with backslashes, as nu and Python (xonsh) read them.
pub(super) fn double(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            '\n' => text += "\\n",
            '\r' => text += "\\r",
            '\t' => text += "\\t",
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Emacs Lisp: line ends may stand in a string as they are.
pub(super) fn emacs(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
