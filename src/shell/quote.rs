//! Quoting, one function for each way that shells read a word.

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

/// fish: in single quotes only the quote and the backslash are special.
pub(super) fn fish(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
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

/// csh and tcsh: single quotes, the quote itself outside of them, and `!` behind a backslash,
/// which stands for history also inside quotes.
pub(super) fn csh(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''").replace('!', "\\!"))
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
