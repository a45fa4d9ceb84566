//! The user and password before the host of a URL.

/// Users that many services share. They are no credentials without a password.
const SHARED_USERS: [&[u8]; 6] = [b"git", b"hg", b"svn", b"anonymous", b"ftp", b"root"];
/// Schemes that log in with a key file: their user is no credential.
const KEY_FILE_SCHEMES: [&[u8]; 7] = [b"ssh", b"git+ssh", b"svn+ssh", b"hg+ssh", b"sftp", b"scp", b"rsync"];

/// The length of the user information that stands before an `@` at the begin of `rest`, the text behind `://`.
///
/// `rest` ends before the next URL. A password may contain slashes and `@`, because people forget to encode them. So `u:a/b@host` is
/// a password, and `host.example:80/@name` is a path.
pub(super) fn length(scheme: &[u8], rest: &[u8]) -> Option<usize> {
    let line = length_until(rest, |byte| byte.is_ascii_whitespace() || byte.is_ascii_control());
    let rest = &rest[..line];
    let authority =
        length_until(rest, |byte| matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\'));
    let path = authority
        + length_until(&rest[authority..], |byte| matches!(byte, b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`'));
    let colon = rest[..authority].iter().position(|byte| *byte == b':');
    let in_authority = rest[..authority].iter().rposition(|byte| *byte == b'@');
    match (in_authority, colon) {
        (Some(at), Some(colon)) if colon < at => Some(last_sign(rest, authority, path).unwrap_or(at)),
        (Some(0), _) | (None, None) => None,
        (Some(at), _) => {
            let user = &rest[..at];
            let is_shared =
                SHARED_USERS.contains(&user) || KEY_FILE_SCHEMES.iter().any(|one| scheme.eq_ignore_ascii_case(one));
            (!is_shared).then_some(at)
        }
        (None, Some(colon)) => {
            if rest[0] == b'[' || is_port(&rest[colon + 1..authority], &rest[..colon]) {
                return None;
            }
            let quoted = || {
                let end = colon + 1 + length_until(&rest[colon + 1..], |byte| matches!(byte, b'/' | b'@'));
                (rest.get(end) == Some(&b'@') && end > colon + 1).then_some(end)
            };
            let behind = || rest[path..].iter().position(|byte| *byte == b'@').map(|at| path + at);
            let is_query = matches!(rest.get(path), Some(b'?' | b'#'));
            last_sign(rest, authority, path).or_else(quoted).or_else(|| if is_query { behind() } else { None })
        }
    }
}

/// The last `@` in a path that does not begin a segment. It begins one in `/@scope/package`.
fn last_sign(rest: &[u8], authority: usize, path: usize) -> Option<usize> {
    let path = rest.get(authority..path)?;
    (1..path.len()).rev().find(|at| path[*at] == b'@' && path[at - 1] != b'/').map(|at| authority + at)
}

/// Whether `host:` comes before a port, and not `user:` before a password of digits.
fn is_port(port: &[u8], host: &[u8]) -> bool {
    let is_number = port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
    is_number && (port.is_empty() || host.contains(&b'.') || host.eq_ignore_ascii_case(b"localhost"))
}

fn length_until(text: &[u8], stops: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| stops(*byte)).unwrap_or(text.len())
}
