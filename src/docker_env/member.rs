//! One text member of a JSON object changed, every other byte kept: other programs' settings are
//! people's, with their order, indentation and what devnet does not know.

use std::ops::Range;

use crate::error::{Error, Result};

/// A member of the outermost object, by its places in the text.
struct Member {
    name: String,
    /// The name with its quotes.
    key: Range<usize>,
    value: Range<usize>,
}

/// The text with the member `name` set to a string, or taken out.
///
/// # Errors
/// When the text is no JSON object.
pub(crate) fn with_member(text: &str, name: &str, value: Option<&str>) -> Result<String> {
    let wrong = || Error::failed("it is not a JSON object");
    let parsed: serde_json::Value =
        serde_json::from_str(text).map_err(|error| wrong().caused_by(error))?;
    if !parsed.is_object() {
        return Err(wrong());
    }
    let members = members(text).ok_or_else(wrong)?;
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let Some(value) = value else {
        return Ok(without(text, name, &members));
    };
    // the last of several counts
    if let Some(member) = members.iter().rfind(|member| member.name == name) {
        return Ok(replaced(text, &member.value, &quoted(value)));
    }
    let (Some(first), Some(last)) = (members.first(), members.last()) else {
        return Ok(format!("{{\n\t{}: {}\n}}\n", quoted(name), quoted(value)));
    };
    // it looks as its neighbours do
    let before = text.get(..first.key.start).unwrap_or_default();
    let indent = before.rsplit('{').next().unwrap_or_default();
    let colon = text.get(first.key.end..first.value.start);
    let colon = colon.unwrap_or(": ");
    let member = format!(",{indent}{}{colon}{}", quoted(name), quoted(value));
    Ok(replaced(text, &(last.value.end..last.value.end), &member))
}

fn without(text: &str, name: &str, members: &[Member]) -> String {
    let mut kept = text.to_owned();
    // from the end, so that the places before stay right
    for (at, member) in members.iter().enumerate().rev() {
        if member.name != name {
            continue;
        }
        let gone = match (members.get(at + 1), at.checked_sub(1)) {
            // what follows has gone already when it had that name too
            (Some(next), _) if next.name != name => member.key.start..next.key.start,
            (_, Some(before)) => members[before].value.end..member.value.end,
            _ => member.key.start..member.value.end,
        };
        kept.replace_range(gone, "");
    }
    kept
}

fn replaced(text: &str, range: &Range<usize>, with: &str) -> String {
    let mut new = text.to_owned();
    new.replace_range(range.clone(), with);
    new
}

/// The members of the outermost object of a text that is known to be JSON.
fn members(text: &str) -> Option<Vec<Member>> {
    let bytes = text.as_bytes();
    let mut at = text.find('{')? + 1;
    let mut found = Vec::new();
    loop {
        at = skip(bytes, at, |byte| byte.is_ascii_whitespace() || byte == b',');
        if *bytes.get(at)? == b'}' {
            return Some(found);
        }
        let key = at..string_end(bytes, at)?;
        at = skip(bytes, key.end, |byte| {
            byte.is_ascii_whitespace() || byte == b':'
        });
        let value = at..value_end(bytes, at)?;
        at = value.end;
        found.push(Member {
            name: serde_json::from_str(text.get(key.clone())?).ok()?,
            key,
            value,
        });
    }
}

fn skip(bytes: &[u8], mut at: usize, what: impl Fn(u8) -> bool) -> usize {
    while bytes.get(at).is_some_and(|byte| what(*byte)) {
        at += 1;
    }
    at
}

/// The place behind the string that begins here.
fn string_end(bytes: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The place behind the value that begins here.
fn value_end(bytes: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin;
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            _ if depth > 0 => at += 1,
            // a number or a word
            _ => {
                at = skip(bytes, at, |byte| {
                    !matches!(byte, b',' | b'}' | b']') && !byte.is_ascii_whitespace()
                });
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKERS: &str = "{\n\t\"auths\": {\n\t\t\"a.example\": {}\n\t},\n\t\"currentContext\": \"old\",\n\t\"x\":[1, {\"currentContext\":\"inner\"}]\n}";

    fn set(text: &str, value: Option<&str>) -> String {
        with_member(text, "currentContext", value).unwrap()
    }

    #[test]
    fn only_the_value_changes() {
        assert_eq!(
            set(DOCKERS, Some("n\"w")),
            DOCKERS.replace("\"old\"", "\"n\\\"w\"")
        );
    }

    #[test]
    fn only_the_member_goes() {
        assert_eq!(
            set(DOCKERS, None),
            DOCKERS.replace("\"currentContext\": \"old\",\n\t", "")
        );
        assert_eq!(
            set("{\"a\": 1, \"currentContext\": \"b\"}", None),
            "{\"a\": 1}"
        );
        assert_eq!(set("{ \"currentContext\":\"b\" }", None), "{  }");
    }

    #[test]
    fn a_new_member_looks_as_its_neighbours() {
        assert_eq!(
            set("{\n  \"a\" : true\n}\n", Some("b")),
            "{\n  \"a\" : true,\n  \"currentContext\" : \"b\"\n}\n"
        );
        assert_eq!(
            set("{\"a\":1}", Some("b")),
            "{\"a\":1,\"currentContext\":\"b\"}"
        );
        assert_eq!(
            set(" {} ", Some("b")),
            "{\n\t\"currentContext\": \"b\"\n}\n"
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "{\"a\":", "{} {}", "null"] {
            assert!(with_member(text, "a", None).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn an_object_with_the_member_set_and_taken_out_is_as_serde_has_it(
            names in proptest::collection::vec("[a-c\"\\\\}{]{0,3}", 0..6),
            value in ".*",
            pretty in proptest::bool::ANY,
        ) {
            let object: serde_json::Map<String, serde_json::Value> = names
                .iter()
                .enumerate()
                .map(|(n, name)| (name.clone(), serde_json::json!([n, { name: "}," }, null, -1.5e3])))
                .collect();
            let text = if pretty {
                serde_json::to_string_pretty(&object).unwrap()
            } else {
                serde_json::to_string(&object).unwrap()
            };
            for name in ["a", "zz"] {
                let mut wanted = object.clone();
                wanted.insert(name.into(), value.clone().into());
                let new = with_member(&text, name, Some(&value)).unwrap();
                let read: serde_json::Map<_, _> = serde_json::from_str(&new).unwrap();
                proptest::prop_assert_eq!(&read, &wanted);
                wanted.remove(name);
                let new = with_member(&new, name, None).unwrap();
                let read: serde_json::Map<_, _> = serde_json::from_str(&new).unwrap();
                proptest::prop_assert_eq!(&read, &wanted);
            }
        }
    }
}
