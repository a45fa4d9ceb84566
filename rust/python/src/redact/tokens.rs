//! Tokens and keys that have a known form, and so need no name.

use super::value::is_words;

/// A form of token. A form is unlikely in prose: it has a rare begin, and many bytes after that.
struct Form {
    begin: &'static str,
    /// The fewest bytes after the begin.
    least: usize,
    is_part: fn(u8) -> bool,
    /// The begin is an address, and stays.
    is_address: bool,
}

const fn form(begin: &'static str, least: usize, is_part: fn(u8) -> bool) -> Form {
    Form { begin, least, is_part, is_address: false }
}

const fn address(begin: &'static str, is_part: fn(u8) -> bool) -> Form {
    Form { begin, least: 8, is_part, is_address: true }
}

/// The forms, in the order of their first byte.
const FORMS: &[Form] = &[
    form("AGE-SECRET-KEY-1", 30, is_base64url),
    form("AIza", 30, is_base64url),
    form("AKIA", 16, is_base64url),
    form("ASIA", 16, is_base64url),
    form("ATATT3", 20, is_base64),
    form("CCIPAT_", 20, is_base64url),
    form("GOCSPX-", 16, is_base64url),
    form("LTAI", 16, is_base64url),
    form("PMAK-", 20, is_base64url),
    form("SG.", 30, is_dotted),
    address("api.telegram.org/bot", is_telegram),
    form("csk-", 20, is_base64url),
    form("dapi", 32, is_base64url),
    form("dckr_pat_", 16, is_base64url),
    address("discord.com/api/webhooks/", is_path),
    address("discordapp.com/api/webhooks/", is_path),
    form("dop_v1_", 32, is_base64url),
    form("figd_", 20, is_base64url),
    form("fw_", 20, is_base64url),
    form("gho_", 16, is_base64url),
    form("ghp_", 16, is_base64url),
    form("ghr_", 16, is_base64url),
    form("ghs_", 16, is_base64url),
    form("ghu_", 16, is_base64url),
    form("github_pat_", 16, is_base64url),
    form("glpat-", 16, is_base64url),
    form("glsa_", 20, is_base64url),
    form("gsk_", 16, is_base64url),
    form("hf_", 16, is_base64url),
    address("hooks.slack.com/services/", is_path),
    address("hooks.slack.com/triggers/", is_path),
    address("hooks.slack.com/workflows/", is_path),
    address("hooks.zapier.com/hooks/catch/", is_path),
    form("hvb.", 16, is_base64url),
    form("hvs.", 16, is_base64url),
    form("jina_", 20, is_base64url),
    form("lin_api_", 20, is_base64url),
    form("lsv2_", 16, is_base64url),
    form("npm_", 30, is_base64url),
    form("ntn_", 20, is_base64url),
    form("nvapi-", 16, is_base64url),
    form("pcsk_", 16, is_base64url),
    form("pl_", 16, is_base64url),
    form("pplx-", 16, is_base64url),
    form("pypi-", 16, is_base64url),
    form("r8_", 20, is_base64url),
    form("rk_live_", 16, is_base64url),
    form("rk_test_", 16, is_base64url),
    form("sbp_", 20, is_base64url),
    form("shpat_", 16, is_base64url),
    form("shpca_", 16, is_base64url),
    form("shpss_", 16, is_base64url),
    form("sk-", 16, is_base64url),
    form("sk_live_", 16, is_base64url),
    form("sk_test_", 16, is_base64url),
    form("sntrys_", 20, is_base64),
    form("sq0", 16, is_base64url),
    form("tgp_v1_", 20, is_base64url),
    form("tskey-", 16, is_base64url),
    form("tvly-", 16, is_base64url),
    address("webhook.office.com/webhookb2/", is_path),
    form("whsec_", 16, is_base64),
    form("xai-", 16, is_base64url),
    form("xapp-", 10, is_base64url),
    form("xox", 12, is_dotted),
    form("ya29.", 16, is_base64url),
];

/// The index of the first form for each first byte, and of the form behind the last.
const FIRST_FORM: [u8; 257] = first_forms();

const fn first_forms() -> [u8; 257] {
    let mut first = [0; 257];
    let (mut byte, mut at) = (0, 0);
    while byte < 256 {
        first[byte] = at;
        while (at as usize) < FORMS.len() && FORMS[at as usize].begin.as_bytes()[0] as usize == byte {
            at += 1;
        }
        byte += 1;
    }
    first[256] = at;
    assert!(at as usize == FORMS.len(), "the forms are in the order of their first byte");
    first
}

/// For each first byte of a token: the second bytes, as 128 bits in words of 32.
const SECOND_BYTES: [[u32; 4]; 128] = second_bytes();

const fn second_bytes() -> [[u32; 4]; 128] {
    /// A JSON web token, and the schemes of a header in any case.
    const OTHERS: [&[u8; 2]; 9] = [b"ey", b"ba", b"be", b"bA", b"bE", b"Ba", b"Be", b"BA", b"BE"];
    let mut bytes = [[0; 4]; 128];
    let mut at = 0;
    while at < FORMS.len() + OTHERS.len() {
        let begin = if at < FORMS.len() { FORMS[at].begin.as_bytes() } else { OTHERS[at - FORMS.len()] };
        bytes[begin[0] as usize][begin[1] as usize / 32] |= 1 << (begin[1] % 32);
        at += 1;
    }
    bytes
}

/// Whether a token may begin with these two bytes. Nearly no other word does.
pub(super) fn may_begin(first: u8, second: u8) -> bool {
    first.is_ascii()
        && second.is_ascii()
        && SECOND_BYTES[usize::from(first)][usize::from(second / 32)] >> (second % 32) & 1 == 1
}

/// The most white space between the scheme of a header and its credential.
const MAX_SPACE: usize = 8;

/// Words that stand behind `Bearer` or a name in a sentence, and are no credential.
#[rustfmt::skip]
const PROSE: [&str; 44] = [
    "access", "api", "auth", "authentication", "authorization", "cannot", "credential", "credentials", "empty", "error",
    "expired", "false", "for", "format", "has", "header", "int", "in", "invalid", "is", "key", "method", "missing", "must",
    "none", "not", "null", "optional", "or", "realm", "required", "scheme", "security", "str", "string", "token", "tokens",
    "true", "type", "undefined", "unset", "was", "were", "with",
];

/// Whether a word is one of a sentence about credentials.
pub(super) fn is_prose(word: &[u8]) -> bool {
    let word = word.trim_ascii_end();
    let end = word
        .iter()
        .rposition(|byte| !matches!(byte, b'.' | b',' | b':' | b';' | b'!' | b'?' | b')'))
        .map_or(0, |at| at + 1);
    PROSE.iter().any(|one| word[..end].eq_ignore_ascii_case(one.as_bytes()))
}

/// A search for tokens by their form. It remembers where no token can begin, so the search of a text reads each byte a few times.
#[derive(Default)]
pub(super) struct Tokens {
    no_web_token_before: usize,
}

impl Tokens {
    /// The part to replace, when a token begins at this index. A word begins there.
    pub(super) fn find(&mut self, text: &[u8], at: usize) -> Option<(usize, usize)> {
        let rest = &text[at..];
        match rest[0] {
            b'e' => self.web_token(text, at).map(|end| (at, end)),
            b'B' | b'b' => behind_scheme(rest).map(|(start, end)| (at + start, at + end)),
            first => {
                let forms =
                    usize::from(FIRST_FORM[usize::from(first)])..usize::from(FIRST_FORM[usize::from(first) + 1]);
                let form = FORMS[forms].iter().find(|form| rest.starts_with(form.begin.as_bytes()))?;
                let begin = form.begin.len();
                let len = length(&rest[begin..], form.is_part);
                let start = if form.is_address { at + begin } else { at };
                let is_one = len >= form.least && (form.is_address || !is_words(&rest[begin..begin + len]));
                is_one.then_some((start, at + begin + len))
            }
        }
    }

    /// The end of a JSON web token: parts of base64 with dots between them. The first one is a JSON object.
    fn web_token(&mut self, text: &[u8], at: usize) -> Option<usize> {
        if at < self.no_web_token_before || !text[at..].starts_with(b"eyJ") {
            return None;
        }
        let end_of_part = |from: usize| from + length(text.get(from..).unwrap_or_default(), is_base64url);
        let first = end_of_part(at);
        let second = end_of_part(first + 1);
        if first - at < 12 || text.get(first) != Some(&b'.') || second < first + 8 {
            self.no_web_token_before = first;
            return None;
        }
        Some(if text.get(second) == Some(&b'.') { end_of_part(second + 1) } else { second })
    }
}

/// The credential behind `Bearer` or `Basic`.
fn behind_scheme(text: &[u8]) -> Option<(usize, usize)> {
    let word = length(&text[..text.len().min(8)], |byte| byte.is_ascii_alphabetic());
    let is_basic = text[..word].eq_ignore_ascii_case(b"basic");
    if !is_basic && !text[..word].eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    let space = length(&text[word..text.len().min(word + MAX_SPACE + 1)], |byte| byte.is_ascii_whitespace());
    let start = word + space;
    let end = start + length(&text[start..], is_credential);
    let credential = &text[start..end];
    let is_one = space > 0
        && space <= MAX_SPACE
        && credential.len() >= 4
        && !is_prose(credential)
        && if is_basic {
            credential.len() >= 8
                && credential[1..].iter().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        } else {
            // In a sentence, `bearer` is written small, and an ordinary word follows.
            text[0] == b'B' || credential.len() >= 16 || !credential.iter().all(u8::is_ascii_lowercase)
        };
    is_one.then_some((start, end))
}

/// The length of the private key that begins here: to the line of its end, or to the end of the text.
pub(super) fn private_key(text: &[u8]) -> Option<usize> {
    let begin = text.strip_prefix(b"-----BEGIN ")?;
    let title = memchr::memmem::find(&begin[..begin.len().min(64)], b"PRIVATE KEY")?;
    let end = memchr::memmem::find(&begin[title..], b"-----END ").map(|at| at + title + 9);
    let close =
        end.and_then(|at| memchr::memmem::find(&begin[at..begin.len().min(at + 64)], b"-----").map(|len| at + len + 5));
    Some(close.map_or(text.len(), |close| close + 11))
}

fn length(text: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| is_part(**byte)).count()
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn is_dotted(byte: u8) -> bool {
    is_base64url(byte) || byte == b'.'
}

fn is_telegram(byte: u8) -> bool {
    is_base64url(byte) || byte == b':'
}

fn is_path(byte: u8) -> bool {
    is_dotted(byte) || byte == b'/' || byte == b'%' || byte == b'@'
}

fn is_credential(byte: u8) -> bool {
    !byte.is_ascii_whitespace()
        && !matches!(byte, b'"' | b'\'' | b'`' | b',' | b';' | b')' | b'}' | b']' | b'<' | b'>' | b'[' | b'{' | b'$')
}
