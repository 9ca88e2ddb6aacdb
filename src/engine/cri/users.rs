//! Users and groups by a container's own lists, in the form of an OCI specification. Pure.

use serde_json::{Value, json};

/// A user, by name or number, with a group beside it or that of the list; `None` where a name is in
/// no list. `users` and `groups` are the texts of `/etc/passwd` and `/etc/group`.
pub(super) fn resolve(user: &str, group: Option<&str>, users: &str, groups: &str) -> Option<Value> {
    let row = rows(users).find(|row| row.first() == Some(&user) || row.get(2) == Some(&user));
    let uid: u32 = match &row {
        Some(row) => row.get(2)?.parse().ok()?,
        None => user.parse().ok()?,
    };
    let gid: u32 = match group {
        Some(group) => rows(groups)
            .find(|row| row.first() == Some(&group))
            .and_then(|row| row.get(2)?.parse().ok())
            .or_else(|| group.parse().ok())?,
        None => row
            .as_ref()
            .and_then(|row| row.get(3)?.parse().ok())
            .unwrap_or(0),
    };
    let name = row.as_ref().and_then(|row| row.first().copied());
    let more: Vec<u32> = rows(groups)
        .filter(|_| group.is_none())
        .filter(|row| {
            let members = row.get(3).copied().unwrap_or_default();
            name.is_some_and(|name| members.split(',').any(|member| member == name))
        })
        .filter_map(|row| row.get(2)?.parse().ok())
        .collect();
    Some(json!({"uid": uid, "gid": gid, "additionalGids": more}))
}

fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_or_number_and_its_groups_with_it() {
        let users = "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/:/bin/false\n";
        let groups = "root:x:0:\nweb:x:102:\nlogs:x:200:root,web\n";
        let resolve = |user, group| resolve(user, group, users, groups);
        let web = json!({"uid": 101, "gid": 102, "additionalGids": [200]});
        assert_eq!(resolve("web", None), Some(web.clone()));
        assert_eq!(resolve("101", None), Some(web));
        let in_group = json!({"uid": 101, "gid": 200, "additionalGids": []});
        assert_eq!(resolve("web", Some("logs")), Some(in_group));
        let unknown = json!({"uid": 5, "gid": 0, "additionalGids": []});
        assert_eq!(resolve("5", None), Some(unknown));
        assert_eq!(resolve("nobody", None), None);
        assert_eq!(resolve("web", Some("none")), None);
    }
}
