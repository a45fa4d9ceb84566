//! Encryption with age to one X25519 recipient.

use std::fmt;
use std::io::{BufReader, Cursor, Read, Write};
use std::iter;
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::stream::{StreamReader, StreamWriter};
use age::{Decryptor, Encryptor, x25519};

use crate::error::{Error, Result, malformed};
use crate::passphrase::{self, Cost};
use crate::{limits, text};

/// The public half: who can decrypt.
#[derive(Clone)]
pub struct Recipient(x25519::Recipient);

impl Recipient {
    /// The recipient of a text that begins with `age1`.
    pub fn parse(line: &str) -> Option<Self> {
        let recipient = x25519::Recipient::from_str(line).ok()?;
        // bech32 may be uppercase, and a card has one form.
        (recipient.to_string() == line).then_some(Self(recipient))
    }

    /// The text of the recipient.
    pub fn line(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}

/// The secret half.
#[derive(Clone)]
pub struct Identity(x25519::Identity);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient().line())
    }
}

impl Identity {
    /// A new identity.
    pub fn generate() -> Self {
        Self(x25519::Identity::generate())
    }

    /// The identity of a file of `age-keygen`: one line that begins with `AGE-SECRET-KEY-1`, and comments.
    ///
    /// # Errors
    /// When the file has another form.
    pub fn parse(file: &str) -> Result<Self> {
        let mut keys = text::lines(file).into_iter().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let read = keys.next().and_then(|line| x25519::Identity::from_str(line).ok());
        match (read, keys.next()) {
            (Some(identity), None) => Ok(Self(identity)),
            _ => Err(Error::Key("the file is not one X25519 identity of age".into())),
        }
    }

    /// The file of the identity, which `age -d -i` reads as well.
    pub fn file(&self) -> String {
        format!("# public key: {}\n{}\n", self.recipient().line(), self.0.to_string().expose_secret())
    }

    /// The file of the identity, which the passphrase protects, as of `age -p -a`.
    ///
    /// # Errors
    /// When the operating system has no random bytes.
    pub fn locked_file(&self, passphrase: &str, cost: Cost) -> Result<String> {
        passphrase::encrypt(&self.file(), passphrase, cost)
    }

    /// The identity of a file that a passphrase protects.
    ///
    /// # Errors
    /// [`Error::Passphrase`] when the passphrase is another one. Else when the file has another form.
    pub fn unlock(file: &str, passphrase: &str) -> Result<Self> {
        Self::parse(&passphrase::decrypt(file, passphrase)?)
    }

    /// The public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }
}

/// Encrypts, or writes plain bytes.
pub(crate) enum Output<W: Write> {
    Plain(W),
    Sealed(StreamWriter<W>),
}

impl<W: Write> Output<W> {
    pub(crate) fn new(output: W, to: Option<&Recipient>) -> Result<Self> {
        let Some(to) = to else { return Ok(Self::Plain(output)) };
        let encryptor = Encryptor::with_recipients(iter::once(&to.0 as &dyn age::Recipient))
            .map_err(|error| Error::Key(error.to_string()))?;
        Ok(Self::Sealed(encryptor.wrap_output(output)?))
    }

    pub(crate) fn finish(self) -> Result<W> {
        match self {
            Self::Plain(output) => Ok(output),
            Self::Sealed(output) => Ok(output.finish()?),
        }
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(output) => output.write(bytes),
            Self::Sealed(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(output) => output.flush(),
            Self::Sealed(output) => output.flush(),
        }
    }
}

/// The first bytes of a file that age encrypted.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";

type Rejoined<R> = std::io::Chain<Cursor<Vec<u8>>, R>;

/// Decrypts, or reads plain bytes.
pub(crate) enum Input<R: Read> {
    Plain(BufReader<Rejoined<R>>),
    Sealed(BufReader<StreamReader<Rejoined<R>>>),
}

impl<R: Read> Input<R> {
    /// Reads a file that may be encrypted to `identity`.
    pub(crate) fn new(mut file: R, identity: Option<&Identity>) -> Result<Self> {
        let mut head = Vec::with_capacity(limits::AGE_HEADER);
        file.by_ref().take(limits::AGE_HEADER as u64).read_to_end(&mut head)?;
        if !head.starts_with(MAGIC) {
            return Ok(Self::Plain(BufReader::new(Cursor::new(head).chain(file))));
        }
        // age reads a header of any length into memory.
        if !head.windows(5).any(|bytes| bytes == b"\n--- ") {
            return malformed("the header of age is longer than 4 KiB");
        }
        let identity = identity.ok_or_else(|| Error::Decrypt("there is no identity here".into()))?;
        let decrypt = |error: age::DecryptError| Error::Decrypt(error.to_string());
        let decryptor = Decryptor::new(Cursor::new(head).chain(file)).map_err(decrypt)?;
        let content = decryptor.decrypt(iter::once(&identity.0 as &dyn age::Identity)).map_err(decrypt)?;
        Ok(Self::Sealed(BufReader::new(content)))
    }

    pub(crate) fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed(_))
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Sealed(input) => input.read(buffer),
        }
    }
}
