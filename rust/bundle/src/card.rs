//! Cards: the public half of an identity, which a person carries to the other side.

use crate::error::{Error, Result};
use crate::ids::Sha;
use crate::keys::{PublicKey, SecretKey};
use crate::seal::Recipient;
use crate::text;

const TITLE: &str = "plsync card 1";

/// A card, signed by its own key.
#[derive(Clone, Debug)]
pub struct Card {
    /// The name of the machine or of its owner.
    pub name: String,
    /// The signing key.
    pub key: PublicKey,
    /// The recipient of encrypted bundles.
    pub recipient: Recipient,
    /// The key that this card's key replaces, which signed the card too.
    pub replaces: Option<PublicKey>,
}

impl Card {
    /// The card of an identity. `before` is the key that it replaces.
    ///
    /// # Errors
    /// When the name is not 1 to 32 lowercase letters, digits and hyphens.
    pub fn make(name: &str, key: &SecretKey, recipient: &Recipient, before: Option<&SecretKey>) -> Result<String> {
        if !text::is_name(name) {
            return Err(Error::Key("a name has 1 to 32 lowercase letters, digits and hyphens".into()));
        }
        let replaces = before.map(SecretKey::public);
        let card = Self { name: name.into(), key: key.public(), recipient: recipient.clone(), replaces };
        let body = card.body();
        let signature = |key: &SecretKey| text::encode(&key.sign(body.as_bytes()));
        let second = before.map_or(String::new(), |key| format!("signature of the replaced key: {}\n", signature(key)));
        Ok(format!("{body}signature: {}\n{second}", signature(key)))
    }

    /// Reads a card, and checks its signatures. They prove that the owner of the keys made it, and not who the owner is.
    ///
    /// # Errors
    /// When the card is malformed or changed.
    pub fn parse(file: &str) -> Result<Self> {
        let broken = || Error::Key("the card is malformed or was changed; copy it again".into());
        let lines = text::lines(file);
        let (title, fields) = lines.split_first().ok_or_else(broken)?;
        if *title != TITLE {
            if title.starts_with("plsync card ") {
                return Err(Error::Key("a later version of plsync wrote the card; upgrade plsync here".into()));
            }
            return Err(Error::Key("the file is not a card of plsync".into()));
        }
        let value = |at: usize, name: &str| fields.get(at)?.strip_prefix(name)?.strip_prefix(": ");
        let name = value(0, "name").filter(|name| text::is_name(name)).ok_or_else(broken)?;
        let key = value(1, "minisign").and_then(PublicKey::parse).ok_or_else(broken)?;
        let recipient = value(2, "age").and_then(Recipient::parse).ok_or_else(broken)?;
        let replaces = value(3, "replaces").map(|line| PublicKey::parse(line).ok_or_else(broken)).transpose()?;
        let card = Self { name: name.into(), key, recipient, replaces };
        let body = card.body();
        let signed = 3 + usize::from(replaces.is_some());
        let is_signed = |at, name, key: &PublicKey| {
            value(at, name).and_then(text::decode).is_some_and(|signature| key.verifies(body.as_bytes(), &signature))
        };
        let whole = is_signed(signed, "signature", &key)
            && replaces.is_none_or(|key| is_signed(signed + 1, "signature of the replaced key", &key))
            && fields.len() == signed + 1 + usize::from(replaces.is_some());
        if whole { Ok(card) } else { Err(broken()) }
    }

    /// The fingerprint that two people compare: 24 digits in six groups. It covers the name, the signing key and the recipient.
    pub fn fingerprint(&self) -> String {
        let (name, key, recipient) = (&self.name, self.key.line(), self.recipient.line());
        let digits = Sha::of(format!("{TITLE}\n{name}\n{key}\n{recipient}\n").as_bytes()).to_string();
        let groups: Vec<_> = (0..6).map(|group| &digits[group * 4..group * 4 + 4]).collect();
        groups.join(" ")
    }

    fn body(&self) -> String {
        let (name, key, recipient) = (&self.name, self.key.line(), self.recipient.line());
        let replaces = self.replaces.map_or(String::new(), |key| format!("replaces: {}\n", key.line()));
        format!("{TITLE}\nname: {name}\nminisign: {key}\nage: {recipient}\n{replaces}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Identity;

    #[test]
    fn a_card_reads_back_and_every_change_is_noticed() {
        let (key, old) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let recipient = Identity::generate().recipient();
        for replaced in [None, Some(&old)] {
            let file = Card::make("berlin-lab", &key, &recipient, replaced).unwrap();
            let card = Card::parse(&file).unwrap();
            assert_eq!((card.name.as_str(), card.key), ("berlin-lab", key.public()));
            assert_eq!(card.replaces, replaced.map(SecretKey::public));
            assert_eq!(card.fingerprint().len(), 29);
            for bit in 0..(file.len() - 1) * 8 {
                let mut bytes = file.clone().into_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(!std::str::from_utf8(&bytes).is_ok_and(|file| Card::parse(file).is_ok()), "bit {bit}");
            }
            assert!(Card::parse(&format!("{file}more\n")).is_err());
        }
        assert!(Card::make("Berlin", &key, &recipient, None).is_err());
        assert!(Card::make("../x", &key, &recipient, None).is_err());
    }

    #[test]
    fn a_card_that_another_key_replaced_is_refused() {
        let (key, old, thief) = (SecretKey::generate(), SecretKey::generate(), SecretKey::generate());
        let (key, old, thief) = (key.unwrap(), old.unwrap(), thief.unwrap());
        let recipient = Identity::generate().recipient();
        let file = Card::make("lab", &key, &recipient, Some(&thief)).unwrap();
        let claimed = file.replace(&thief.public().line(), &old.public().line());
        assert!(Card::parse(&claimed).is_err());
    }
}
