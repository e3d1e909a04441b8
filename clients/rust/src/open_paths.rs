/// Whether the path is one of the open ones, or below one: `/health` is not `/health-records`. What
/// may lead elsewhere once somebody resolves it is not open.
pub(crate) fn is_open(path: &str, open_paths: &[String]) -> bool {
    let lower = path.to_ascii_lowercase();
    let may_lead_elsewhere = path.split('/').any(|part| part == "." || part == "..")
        || path.contains('\\')
        || ["%2e", "%2f", "%5c", "%00"].iter().any(|code| lower.contains(code));
    !may_lead_elsewhere && open_paths.iter().any(|open| path == open || is_below(path, open))
}

/// Not of `/` alone, which would be all.
fn is_below(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    !folder.is_empty() && path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::is_open;

    fn of(path: &str, open: &[&str]) -> bool {
        is_open(path, &open.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_open_path_is_that_path_and_what_is_below_it() {
        let open = ["/health", "/static/", "/a.b"];
        for path in [
            "/health",
            "/health/",
            "/health/live",
            "/static/",
            "/static/a.js",
            "/a.b",
            "/static/...",
        ] {
            assert!(of(path, &open), "{path}");
        }
        for path in [
            "/",
            "",
            "/healthy",
            "/health-records",
            "/HEALTH",
            "/static",
            "/axb",
            "/private",
            "/private/health",
            "//health",
            "health",
            "/health/../private",
            "/health/..",
            "/health/./private",
            "/health/%2e%2e/private",
            "/health/.%2E/private",
            "/health%2f..%2fprivate",
            "/health/%5c..",
            "/health/..\\private",
            "/health/%00",
            "/static/a%2Fb",
        ] {
            assert!(!of(path, &open), "{path}");
        }
    }

    #[test]
    fn a_slash_opens_the_front_page_alone_and_no_path_opens_nothing() {
        assert_eq!(["/", "/private", "//"].map(|path| of(path, &["/"])), [true, false, false]);
        assert!(!of("/", &[]) && !of("/private", &[""]));
    }
}
