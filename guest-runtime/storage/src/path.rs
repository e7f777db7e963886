//! Names of files, as archives spell them and as the index does: components with a slash between them.

use alloc::string::String;

/// A path as the index has it: `a/b`, without a slash at an end, empty for the root.
///
/// As in `tar -x`, a slash at the beginning does not count, and neither do components that are empty or a dot.
///
/// `None` if a component is two dots: it may lead out of the tree.
pub(crate) fn confine(path: &str) -> Option<String> {
    let mut confined = String::with_capacity(path.len());
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => return None,
            name => push(&mut confined, name),
        }
    }
    Some(confined)
}

/// The target of a symbolic link without components that are empty or a dot, which lead nowhere. A slash at the beginning stays, as the
/// target is absolute then, and one at the end, as it must be a directory then.
pub(crate) fn plain(target: &str) -> String {
    let mut plain = String::with_capacity(target.len());
    if target.starts_with('/') {
        plain.push('/');
    }
    let mut directory = false;
    for component in target.split('/') {
        directory = matches!(component, "" | ".");
        if !directory {
            if !plain.is_empty() && !plain.ends_with('/') {
                plain.push('/');
            }
            plain.push_str(component);
        }
    }
    if directory && !plain.is_empty() && !plain.ends_with('/') {
        plain.push('/');
    }
    plain
}

/// Appends a component.
pub(crate) fn push(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(name);
}

/// The path without its last component.
pub(crate) fn parent(path: &str) -> &str {
    path.rfind('/').map_or("", |slash| &path[..slash])
}

/// The last component.
pub(crate) fn name(path: &str) -> &str {
    path.rfind('/').map_or(path, |slash| &path[slash + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_tree() {
        for (given, expected) in [
            ("", Some("")),
            (".", Some("")),
            ("./", Some("")),
            ("/", Some("")),
            ("a", Some("a")),
            ("./a/b", Some("a/b")),
            ("/etc//passwd", Some("etc/passwd")),
            ("a/./b/", Some("a/b")),
            ("a/...", Some("a/...")),
            ("..", None),
            ("a/..", None),
            ("a/../../b", None),
        ] {
            assert_eq!(confine(given).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn targets_are_as_short_as_they_can_be() {
        for (given, expected) in [
            ("", ""),
            (".", ""),
            ("./", ""),
            ("/", "/"),
            ("/./", "/"),
            ("a", "a"),
            ("./a", "a"),
            (".//.//./a/././b", "a/b"),
            ("a/", "a/"),
            ("a/.", "a/"),
            ("a//./", "a/"),
            ("../a/..", "../a/.."),
            ("//a", "/a"),
        ] {
            assert_eq!(plain(given), expected, "{given}");
        }
    }
}
