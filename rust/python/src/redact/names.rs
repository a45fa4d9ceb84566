//! Names of credentials: headers, settings and parameters.

/// The meaning of a name for the value under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The value is no credential.
    Plain,
    /// A text under this name is a credential if it looks random. The name has other meanings, such as a key of a dictionary.
    Random,
    /// A text under this name is a credential. A number or a truth value is not.
    Text,
    /// Any value under this name is a credential, but for a truth value.
    Credential,
}

/// The longest word that counts. Every word of the lists is shorter.
const MAX_WORD: usize = 32;

/// Words that name a credential anywhere in a name.
#[rustfmt::skip]
const ANYWHERE: &[&str] = &[
    "authorization", "cookie", "cookies", "credential", "credentials", "jwt", "passcode", "passphrase", "passwd", "password",
    "passwords", "pswd", "pwd", "secret", "secrets", "totp",
];
/// Last words of names for a fact about a credential: `password_policy`, `secret_count`.
#[rustfmt::skip]
const FACTS: &[&str] = &[
    "consent", "count", "counts", "enabled", "expiration", "expired", "expires", "expiry", "format", "length", "level", "policy",
    "required", "reset", "status", "strength", "type",
];
/// Ends of one word that names a credential: `dbpassword`, `clientsecret`, `apikey`.
#[rustfmt::skip]
const ENDS: &[&str] = &[
    "password", "passwd", "passphrase", "secret", "apikey", "apikeys", "accesskeys", "privatekeys", "subscriptionkeys",
    "accesskey", "accountkey", "authkey", "privatekey", "secretkey", "sharedkey", "signingkey", "subscriptionkey",
    "encryptionkey", "accesstoken", "apitoken", "authtoken", "bearertoken", "bottoken", "githubtoken", "hftoken", "hubtoken",
    "idtoken", "jsessionid", "jwttoken", "phpsessid", "privatetoken", "refreshtoken", "securitytoken", "sessiontoken",
];
/// Words before `key` that make it a credential. Without such a word it may be a key of a cache or of a dictionary.
#[rustfmt::skip]
const KEY_OF: &[&str] = &[
    "access", "account", "admin", "aes", "ai", "anthropic", "api", "auth", "authentication", "aws", "azure", "bearer", "cipher",
    "client", "cohere", "consumer", "crypto", "decryption", "deepseek", "deploy", "developer", "encryption", "fireworks",
    "function", "functions", "gcp", "gemini", "google", "groq", "hf", "hmac", "huggingface", "license", "licence", "langfuse",
    "langsmith", "master", "mistral", "nvidia", "openai", "pinecone", "private", "promptlayer", "rapidapi", "root", "rsa",
    "secret", "security", "service", "shared", "signing", "ssh", "storage", "subscription", "together", "webhook",
];
/// Words before `token` under which any value is a credential.
const TOKEN_OF: &[&str] = &[
    "access", "api", "app", "auth", "bearer", "bot", "client", "csrf", "deploy", "device", "github", "gitlab", "hf",
    "hub", "id", "jwt", "npm", "oauth", "oauth2", "personal", "private", "pypi", "refresh", "sas", "security",
    "service", "session", "slack", "vault", "xsrf",
];
/// Words before `token` in settings of tokenizers, in counts, and in cursors of pages.
#[rustfmt::skip]
const NO_CREDENTIAL_TOKEN: &[&str] = &[
    "assistant", "audio", "bad", "begin", "bos", "by", "cached", "chat", "cls", "completion", "continuation", "cost", "count", "current", "cursor",
    "decoder", "encoder", "end", "eog", "eom", "eos", "eot", "fill", "fim", "first", "forced", "idempotency", "image", "input", "last", "logit",
    "logprob", "mask", "max", "mid", "middle", "min", "next", "nl", "num", "of", "one", "output", "pad", "padding", "page", "per",
    "pre", "predicted", "prefix", "previous", "prompt", "reasoning", "request", "resume", "role", "sample", "sep", "separator", "seq", "single", "special", "start",
    "stop", "stopping", "suf", "suffix", "sync", "system", "target", "text", "the", "think", "thinking", "tool", "total", "trigger", "unk",
    "unknown", "user", "video", "vision",
];
/// Words between `x` and `key` or `token` in headers that hold no credential.
const NO_CREDENTIAL_HEADER: &[&str] = &["cache", "idempotency", "page", "request", "routing"];
/// Words at the end of a name under which a text is a credential.
const TEXT_AT_END: &[&str] = &["bearer", "pass", "pat"];
/// Names of one word under which a text is a credential.
const TEXT_ALONE: &[&str] = &["cred", "creds", "pin", "pw"];
/// Names of one word under which a text that looks random is a credential.
const RANDOM_ALONE: &[&str] = &["key", "sas", "sig"];
/// One word for a setting that holds a user and a password.
const AUTHS: &[&str] = &["auth", "basicauth", "httpauth", "proxyauth", "xauth"];
/// Words before `auth` in the name of a setting that holds a user and a password.
const AUTH_OF: &[&str] = &["basic", "bearer", "digest", "http", "ntlm", "proxy", "x"];

/// The last bytes of a word, in lower case.
#[derive(Clone, Copy)]
struct Word {
    bytes: [u8; MAX_WORD],
    len: usize,
}

impl Word {
    const EMPTY: Self = Self { bytes: [0; MAX_WORD], len: 0 };

    fn push(&mut self, byte: u8) {
        if self.len == MAX_WORD {
            self.bytes.copy_within(1.., 0);
            self.len -= 1;
        }
        self.bytes[self.len] = byte.to_ascii_lowercase();
        self.len += 1;
    }

    fn is_in(&self, words: &[&str]) -> bool {
        let word = &self.bytes[..self.len];
        words.iter().any(|one| one.as_bytes() == word)
    }

    fn is(&self, word: &str) -> bool {
        &self.bytes[..self.len] == word.as_bytes()
    }

    fn ends_with(&self, ends: &[&str]) -> bool {
        let word = &self.bytes[..self.len];
        ends.iter().any(|end| word.ends_with(end.as_bytes()))
    }
}

/// The meaning of a name. Signs and capitals separate its words: `api_key`, `X-Api-Key`, `apiKey`, `APIKey`.
pub(crate) fn meaning(name: &[u8]) -> Name {
    // The shortest name of a credential is `pw`. Most names contain no letter sequence that begins a word of the lists.
    if name.len() < 2 || !may_be_credential(name) {
        return Name::Plain;
    }
    let (mut first, mut before, mut word) = (Word::EMPTY, Word::EMPTY, Word::EMPTY);
    let mut count = 0;
    let mut found = false;
    let mut at = 0;
    while at <= name.len() {
        let byte = name.get(at).copied();
        let is_part = byte.is_some_and(is_word_byte);
        if word.len > 0 && (!is_part || begins_word(name, at)) {
            count += 1;
            if count == 1 {
                first = word;
            }
            found |= word.is_in(ANYWHERE) || word.ends_with(ENDS) || is_key(&before, &word);
            if !is_part && at == name.len() {
                break;
            }
            before = word;
            word = Word::EMPTY;
        }
        match byte {
            Some(byte) if is_part => word.push(byte),
            _ => {}
        }
        at += 1;
    }
    if word.len == 0 {
        // The name ends in a sign.
        word = before;
        before = Word::EMPTY;
    }
    if found {
        return if count > 1 && word.is_in(FACTS) { Name::Plain } else { Name::Credential };
    }
    at_end(&first, &before, &word, count)
}

fn at_end(first: &Word, before: &Word, last: &Word, count: usize) -> Name {
    if last.is("token") || last.is("tokens") {
        if before.is_in(TOKEN_OF) || (count == 1 && last.is("token")) {
            return Name::Credential;
        }
        let is_other = last.is("tokens") || before.is_in(NO_CREDENTIAL_TOKEN);
        return if is_other { Name::Plain } else { Name::Random };
    }
    if (count == 1 && last.is_in(AUTHS)) || (count == 2 && last.is("auth") && before.is_in(AUTH_OF)) {
        return Name::Credential;
    }
    if last.is("otp") {
        return Name::Credential;
    }
    if last.is("key") && first.is("x") && count > 2 && !before.is_in(NO_CREDENTIAL_HEADER) {
        return Name::Credential;
    }
    if last.is_in(TEXT_AT_END) || (count == 1 && last.is_in(TEXT_ALONE)) {
        return Name::Text;
    }
    if count == 1 && last.is_in(RANDOM_ALONE) { Name::Random } else { Name::Plain }
}

fn is_key(before: &Word, word: &Word) -> bool {
    (word.is("key") || word.is("keys")) && before.is_in(KEY_OF)
}

/// A quick search for the parts of words that every name of a credential contains.
pub(super) fn may_be_credential(name: &[u8]) -> bool {
    const PARTS: &[&[u8]] = &[
        b"key", b"tok", b"pass", b"pwd", b"pw", b"sec", b"aut", b"cook", b"cred", b"jwt", b"otp", b"bearer", b"pat",
        b"pin", b"psw", b"sas", b"sess", b"sig",
    ];
    /// For each letter, by its place in the alphabet: the letters that follow it in the begin of a part.
    const SECOND: [u32; 32] = {
        let mut second = [0; 32];
        let mut at = 0;
        while at < PARTS.len() {
            second[(PARTS[at][0] & 31) as usize] |= 1 << (PARTS[at][1] & 31);
            at += 1;
        }
        second
    };
    let may_begin = |pair: &[u8]| SECOND[usize::from(pair[0] & 31)] >> (pair[1] & 31) & 1 == 1;
    name.windows(2).enumerate().any(|(at, pair)| {
        may_begin(pair)
            && PARTS
                .iter()
                .any(|part| name[at..].get(..part.len()).is_some_and(|found| found.eq_ignore_ascii_case(part)))
    })
}

/// Letters beyond ASCII are parts of words, as in Python's `\w`.
fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// Whether a capital begins a word here: in `apiKey` and in `APIKey`.
fn begins_word(name: &[u8], at: usize) -> bool {
    let is_upper = |at: usize| name.get(at).is_some_and(u8::is_ascii_uppercase);
    let is_lower = |at: usize| name.get(at).is_some_and(u8::is_ascii_lowercase);
    if at == 0 || !is_upper(at) {
        return false;
    }
    let before = name[at - 1];
    before.is_ascii_lowercase() || before.is_ascii_digit() || (before.is_ascii_uppercase() && is_lower(at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_capitals_separate_the_words_of_a_name() {
        for name in
            ["api_key", "X-Api-Key", "apiKey", "APIKey", "openai.api key", "OpenAIKey", "AWSAccessKeyId", "dbPassword"]
        {
            assert_eq!(meaning(name.as_bytes()), Name::Credential, "{name}");
        }
        for name in [
            "keyword",
            "author",
            "oauth",
            "compass",
            "secretary",
            "monkey",
            "max_tokens",
            "eosToken",
            "cache_key",
            "k",
            "",
        ] {
            assert_eq!(meaning(name.as_bytes()), Name::Plain, "{name}");
        }
        for name in ["pass", "github_pat", "Bearer"] {
            assert_eq!(meaning(name.as_bytes()), Name::Text, "{name}");
        }
        for name in ["key", "notion_token"] {
            assert_eq!(meaning(name.as_bytes()), Name::Random, "{name}");
        }
    }

    #[test]
    fn headers_with_keys_and_tokens_are_found() {
        for name in ["x-functions-key", "X-Vault-Token", "PRIVATE-TOKEN", "x-rapidapi-key", "Ocp-Apim-Subscription-Key"]
        {
            assert_eq!(meaning(name.as_bytes()), Name::Credential, "{name}");
        }
        assert_eq!(meaning(b"x-idempotency-key"), Name::Plain);
    }
}
