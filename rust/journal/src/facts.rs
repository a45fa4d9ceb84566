//! The facts of a digest, as the recorder writes them into the last label of a frame. The ingester needs no body for a digest.
//!
//! The recorder has the numbers as objects of the program, and leaves out a label that it is not sure of. The digest is then made from
//! the bodies: `docs/reference/format.md`, Digests.

use crate::Draft;
use crate::labels::FACTS;

/// The tokens of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens of the request.
    pub input: u32,
    /// Tokens of the answer.
    pub output: u32,
    /// Tokens of the request that the provider read from its cache.
    pub cached: u32,
}

/// The kinds of records. A digest stores the place in this list, counted from 1, and 0 for any other kind.
pub const KINDS: [&str; 7] = ["chat", "llm", "chain", "prompt", "parser", "tool", "retriever"];

/// The number of a kind in a digest.
#[must_use]
pub fn kind_number(kind: &str) -> u8 {
    KINDS.iter().zip(1..).find(|(name, _)| **name == kind).map_or(0, |(_, number)| number)
}

/// The facts of a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartFacts<'a> {
    /// See [`kind_number`].
    pub kind: u8,
    /// The name of the model is known from the answer alone.
    pub is_model_open: bool,
    /// The provider of the model.
    pub provider: Option<&'a [u8]>,
    /// The name of the model, as far as the start decides it.
    pub model: Option<&'a [u8]>,
}

/// The facts of an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndFacts {
    /// The duration of the call.
    pub duration_ns: Option<u64>,
    /// The time from the start to the first token.
    pub first_token_ns: Option<u64>,
    /// The tokens, if the provider reported them.
    pub tokens: Option<Tokens>,
}

/// Bits of the first byte of an end's facts.
const DURATION: u8 = 1;
const FIRST_TOKEN: u8 = 2;
const TOKENS: u8 = 4;
/// A bit of the second byte of a start's facts.
const MODEL_OPEN: u8 = 1;
/// Bytes in front of the provider of a start.
const START: usize = 3;

impl<'a> StartFacts<'a> {
    /// Adds the label, unless the names do not fit into it.
    pub fn push(&self, draft: &mut Draft) {
        let provider = self.provider.unwrap_or_default();
        let Ok(length) = u8::try_from(provider.len()) else { return };
        let head = [self.kind, u8::from(self.is_model_open), length];
        draft.label_of_parts(FACTS, [&head, provider, self.model.unwrap_or_default()]);
    }

    /// Reads a label's value; `None` for a value of a later version.
    pub(crate) fn read(value: &'a [u8]) -> Option<Self> {
        let (&[kind, flags, length], names) = value.split_first_chunk::<START>()?;
        let (provider, model) = names.split_at_checked(usize::from(length))?;
        let nonempty = |name: &'a [u8]| (!name.is_empty()).then_some(name);
        (flags & !MODEL_OPEN == 0 && usize::from(kind) <= KINDS.len()).then(|| Self {
            kind,
            is_model_open: flags & MODEL_OPEN != 0,
            provider: nonempty(provider),
            model: nonempty(model),
        })
    }
}

impl EndFacts {
    /// Adds the label.
    pub fn push(&self, draft: &mut Draft) {
        let mut value = [0; 36];
        let mut at = 1;
        let mut number = |mut number: u64| {
            while number >= 0x80 {
                value[at] = u8::try_from(number & 0x7f).unwrap_or_default() | 0x80;
                (number, at) = (number >> 7, at + 1);
            }
            value[at] = u8::try_from(number).unwrap_or_default();
            at += 1;
        };
        let mut flags = 0;
        if let Some(duration) = self.duration_ns {
            flags |= DURATION;
            number(duration);
        }
        if let Some(first) = self.first_token_ns {
            flags |= FIRST_TOKEN;
            number(first);
        }
        if let Some(Tokens { input, output, cached }) = self.tokens {
            flags |= TOKENS;
            for count in [input, output, cached] {
                number(count.into());
            }
        }
        value[0] = flags;
        draft.label(FACTS, &value[..at]);
    }

    /// Reads a label's value; `None` for a value of a later version.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let (flags, mut rest) = value.split_first()?;
        let mut number = || {
            let (mut number, mut shift) = (0_u64, 0);
            loop {
                let (byte, tail) = rest.split_first()?;
                rest = tail;
                number |= u64::from(byte & 0x7f).checked_shl(shift)?;
                if byte & 0x80 == 0 {
                    return Some(number);
                }
                shift += 7;
            }
        };
        let mut found = Self::default();
        if flags & DURATION != 0 {
            found.duration_ns = Some(number()?);
        }
        if flags & FIRST_TOKEN != 0 {
            found.first_token_ns = Some(number()?);
        }
        if flags & TOKENS != 0 {
            let mut count = || u32::try_from(number()?).ok();
            found.tokens = Some(Tokens { input: count()?, output: count()?, cached: count()? });
        }
        (flags & !(DURATION | FIRST_TOKEN | TOKENS) == 0 && rest.is_empty()).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels;
    use proptest::prelude::*;

    /// The value of the label that `push` adds.
    fn value_of(push: impl FnOnce(&mut Draft)) -> Option<Vec<u8>> {
        let mut draft = Draft::new();
        draft.clear();
        push(&mut draft);
        let section = draft.body()[crate::frame::HEADER..].to_vec();
        labels::split_facts(&section).1.map(<[u8]>::to_vec)
    }

    proptest! {
        #[test]
        fn the_facts_of_an_end_read_back(
            duration_ns in any::<Option<u64>>(), first_token_ns in any::<Option<u64>>(), counts in any::<Option<[u32; 3]>>(),
        ) {
            let tokens = counts.map(|[input, output, cached]| Tokens { input, output, cached });
            let facts = EndFacts { duration_ns, first_token_ns, tokens };
            let value = value_of(|draft| facts.push(draft)).unwrap();
            prop_assert_eq!(EndFacts::read(&value), Some(facts));
            prop_assert_eq!(EndFacts::read(&value[..value.len() - 1]), None);
        }

        #[test]
        fn no_value_of_a_label_panics(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (StartFacts::read(&value), EndFacts::read(&value));
        }
    }

    #[test]
    fn the_facts_of_a_start_read_back() {
        let facts =
            StartFacts { kind: kind_number("llm"), is_model_open: true, provider: Some(b"openai"), model: Some(b"m") };
        let read_back = |facts: StartFacts<'_>| {
            let value = value_of(|draft| facts.push(draft)).unwrap();
            assert_eq!(StartFacts::read(&value), Some(facts));
        };
        read_back(facts);
        read_back(StartFacts::default());
        let too_long = StartFacts { model: Some(&[b'm'; 253]), ..facts };
        assert_eq!(value_of(|draft| too_long.push(draft)), None);
        assert_eq!(StartFacts::read(&[1, 2, 0]), None);
        assert_eq!(StartFacts::read(&[1, 0, 9]), None);
    }
}
